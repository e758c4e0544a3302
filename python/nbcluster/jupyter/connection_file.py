"""How the kernels of a Jupyter server find its control channel: a file that only its user can read.

    <Jupyter's runtime directory>/nbcluster-<pid of the server>.json        0600

The environment of kernels and terminals has no more than the path of it, in ``NBCLUSTER_CONNECTION_FILE``.
The token in it is good for the control channel, and for nothing else.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import msgspec
from jupyter_core.paths import jupyter_runtime_dir, secure_write

from nbcluster.comm.credentials import process_start
from nbcluster.errors import HandshakeError
from nbcluster.types import Address

ENVIRONMENT_VARIABLE = "NBCLUSTER_CONNECTION_FILE"
FORMAT = 1
_PATTERN = "nbcluster-{}.json"
_MAX_SIZE = 64 * 1024


class _Format(msgspec.Struct, frozen=True):
    """What every version of the file says."""

    format: int


class ConnectionFile(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says."""

    format: int = FORMAT
    pid: int
    """The server's process."""
    started: float
    """When that started, so that another process of the same number is not taken for it."""
    address: Address
    """The control channel."""
    token: str
    """Hexadecimal."""

    def __repr__(self) -> str:
        return f"<ConnectionFile of process {self.pid} at {self.address}>"


def path_of(pid: int) -> Path:
    """Where the server of this process number keeps its file."""
    return Path(jupyter_runtime_dir()) / _PATTERN.format(pid)


def write(content: ConnectionFile) -> Path:
    """Write the file of this server, and remove those of servers that are no more."""
    path = path_of(content.pid)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in path.parent.glob(_PATTERN.format("*")):
        pid = old.stem.rpartition("-")[2]
        if pid.isdecimal() and process_start(int(pid)) is None:
            old.unlink(missing_ok=True)
    with secure_write(str(path), binary=True) as file:
        file.write(msgspec.json.encode(content))
    return path


def read(path: Path) -> ConnectionFile | None:
    """The file's content, if it is this user's alone and its server lives; else None: it does not count.

    Raises:
        HandshakeError: it is of a version of nbcluster that this one does not understand.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    try:
        if not _is_private(os.fstat(descriptor)):
            return None
        data = os.read(descriptor, _MAX_SIZE)
    finally:
        os.close(descriptor)
    try:
        version = msgspec.json.decode(data, type=_Format).format
        if version != FORMAT:
            raise _mismatch(version)
        content = msgspec.json.decode(data, type=ConnectionFile)
    except msgspec.DecodeError:
        return None
    return content if process_start(content.pid) == content.started else None


def _is_private(status: os.stat_result) -> bool:
    if not stat.S_ISREG(status.st_mode):
        return False
    if sys.platform == "win32":
        return True  # the runtime directory is the user's own, by its access list
    return status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o077


def _mismatch(theirs: int) -> HandshakeError:
    where = "of this kernel" if theirs > FORMAT else "of the Jupyter server"
    return HandshakeError(
        f"the Jupyter server's nbcluster writes connection files of format {theirs}, this one reads format "
        f"{FORMAT}: upgrade the package nbcluster in the environment {where}",
        theirs=theirs,
        ours=FORMAT,
    )
