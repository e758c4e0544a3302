"""Where a cluster keeps what only its owner may see, and how its owner's other processes find it.

    <runtime dir, 0700>/            $NBCLUSTER_RUNTIME_DIR, or $XDG_RUNTIME_DIR/nbcluster, or <temp>/nbcluster-<uid>
        lock                        held while directories are made, removed or swept away
        3f2a91c4/, 0700             one per cluster
            lock                    held by the cluster's process as long as it lives
            cluster.json            whose it is, and where it listens
            token, 0600             its secret
            *.sock                  its sockets

A token goes from process to process through this file, and through nothing else. A directory belongs to a dead cluster
if nobody holds its lock and its process is gone: both are asked, for a forked child may inherit a lock, and a container
does not see the processes of another.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import msgspec

from nbcluster.comm.addresses import TcpAddress, parse
from nbcluster.errors import CommError
from nbcluster.types import Address

if sys.platform != "win32":
    import fcntl

ENVIRONMENT_VARIABLE = "NBCLUSTER_RUNTIME_DIR"
TOKEN_BYTES = 32


class _Record(msgspec.Struct, frozen=True):
    """What ``cluster.json`` says."""

    pid: int
    started: float
    addresses: list[Address] = []


def runtime_dir() -> Path:
    """The directory of all clusters of this user; made if need be.

    Raises:
        CommError: it is not this user's alone.
    """
    path = _candidates()[0]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_private(path)
    return path


def _candidates() -> list[Path]:
    """Where clusters of this user may be; a new one goes to the first."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return [Path(chosen).absolute()]
    found = []
    session = os.environ.get("XDG_RUNTIME_DIR")
    # Under sudo and su it is still the directory of the user before.
    if session and _is_private(Path(session)):
        found.append(Path(session) / "nbcluster")
    user = os.getuid() if sys.platform != "win32" else os.getlogin()
    found.append(Path(tempfile.gettempdir()) / f"nbcluster-{user}")
    return found


def _is_private(path: Path) -> bool:
    try:
        _check_private(path)
    except CommError:
        return False
    return True


def _check_private(path: Path) -> None:
    try:
        status = path.lstat()
    except OSError as error:
        raise CommError(f"{path} cannot be used: {error}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise CommError(f"{path} is no directory; remove it, or set {ENVIRONMENT_VARIABLE} to another place")
    if sys.platform == "win32":
        return  # %TEMP% is the user's own, by its access list
    if status.st_uid != os.geteuid():
        raise CommError(
            f"{path} belongs to another user (uid {status.st_uid}); set {ENVIRONMENT_VARIABLE} to a place of your own"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise CommError(f"{path} is open to others; make it private: chmod 700 {path}")


class ClusterDirectory:
    """The directory of one cluster, while its process lives. Making one sweeps away what dead clusters left behind.

    A context manager; :meth:`remove` does the same as leaving it.

    Args:
        token: the cluster's secret, if it was agreed upon before; else it gets a new one.
    """

    def __init__(self, token: bytes | None = None) -> None:
        root = runtime_dir()
        with _locked(root / "lock"):
            _sweep(root)
            self.path = _make_directory(root)
            self._lock = try_lock(self.path / "lock")
            self._token = token or secrets.token_bytes(TOKEN_BYTES)
            _write_private(self.path / "token", self._token.hex().encode())
            self._addresses: list[Address] = []
            self._write_record()
        self._pid = os.getpid()

    def __enter__(self) -> ClusterDirectory:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"<ClusterDirectory {self.path}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a cluster's directory holds its secret and stays in its process; pass the path")

    @property
    def token(self) -> bytes:
        """The cluster's secret."""
        return self._token

    def socket(self, name: str) -> Path:
        """The path of a socket of this cluster."""
        return self.path / f"{name}.sock"

    def publish(self, *addresses: Address) -> None:
        """Record where the cluster listens, so that :func:`find_token` finds it."""
        self._addresses += addresses
        self._write_record()

    def remove(self) -> None:
        """Remove it, with all that is in it. Idempotent; a forked child's copy does nothing."""
        if self._lock is None or self._pid != os.getpid():
            return
        if self.path.exists():
            with _locked(self.path.parent / "lock"):
                shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        self._lock = None

    def _write_record(self) -> None:
        record = _Record(os.getpid(), process_start(os.getpid()) or 0.0, self._addresses)
        _write_private(self.path / "cluster.json", msgspec.json.encode(record))


def read_token(directory: Path) -> bytes:
    """The token of the cluster whose directory this is: for the processes that it started.

    Raises:
        CommError: there is none, or others could have read or written it.
    """
    _check_private(directory)
    return _read_token(directory)


def find_token(address: Address) -> bytes:
    """The token of this user's cluster that listens at an address.

    Raises:
        CommError: no cluster of this user does.
        ValueError: the address is none.
    """
    wanted = _normal(address)
    matches = []
    for root in _candidates():
        if not _is_private(root):
            continue
        for directory in _directories(root):
            record = _read_record(directory)
            if record is None or wanted not in {_normal(known) for known in record.addresses}:
                continue
            alive = process_start(record.pid) == record.started
            matches.append((alive, record.started, directory))
    for _, _, directory in sorted(matches, reverse=True):
        with contextlib.suppress(CommError):  # swept away just now
            return _read_token(directory)
    raise CommError(
        f"no cluster of this user listens at {address}: is it running, and was it started by this user on this "
        "machine? To reach somebody else's, pass its security credentials",
        address=address,
    )


def sweep() -> None:
    """Remove the directories of clusters whose processes are gone."""
    root = runtime_dir()
    with _locked(root / "lock"):
        _sweep(root)


def process_start(pid: int) -> float | None:
    """When a process started, on a clock that nobody sets; None if it has ended. For comparison only."""
    if sys.platform == "linux":
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        # The command, in brackets, may hold anything. After it come the state and, as the 20th, the start time in
        # clock ticks since boot.
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else float(fields[19])
    else:
        import psutil

        try:
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
        except psutil.Error:
            return None


def _directories(root: Path) -> list[Path]:
    try:
        return [path for path in root.iterdir() if path.is_dir() and not path.is_symlink()]
    except FileNotFoundError:
        return []


def _sweep(root: Path) -> None:
    for directory in _directories(root):
        record = _read_record(directory)
        if record is not None and process_start(record.pid) == record.started:
            continue
        lock = try_lock(directory / "lock")
        if lock is None:
            continue
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _make_directory(root: Path) -> Path:
    while True:
        path = root / secrets.token_hex(4)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return path


def _read_record(directory: Path) -> _Record | None:
    try:
        return msgspec.json.decode((directory / "cluster.json").read_bytes(), type=_Record)
    except (OSError, msgspec.DecodeError):
        return None


def _read_token(directory: Path) -> bytes:
    return read_token_file(directory / "token")


def read_token_file(path: Path) -> bytes:
    """The token in a file that nobody else may read.

    Raises:
        CommError: there is none, or others could have read or written it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            text = file.read(4 * TOKEN_BYTES)
    except OSError as error:
        raise CommError(f"there is no token in {path}: {error}") from error
    if sys.platform != "win32" and (status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077):
        raise CommError(f"{path} is open to others: its token is no secret")
    try:
        token = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        token = b""
    if len(token) != TOKEN_BYTES:
        raise CommError(f"{path} holds no token")
    return token


def _write_private(path: Path, data: bytes) -> None:
    """Write a file that is whole, and nobody else's, from the moment at which it is there."""
    new = path.with_name(f".{path.name}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
    os.replace(new, path)


def _normal(address: Address) -> str:
    parsed = parse(address)
    if isinstance(parsed, TcpAddress) and parsed.host in ("localhost", "::1"):
        parsed = TcpAddress("127.0.0.1", parsed.port, parsed.encrypted)
    return str(parsed)


def try_lock(path: Path) -> int | None:
    """An open file that holds a lock until it is closed or its process ends; None if another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
    return descriptor


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform != "win32":
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
