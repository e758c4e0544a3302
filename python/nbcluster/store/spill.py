"""Results on disk: the folder of one worker, a file for each, removed when nobody holds its name any more.

    folder.write(payload) ──▶ SpillFile ──▶ read(): the payload again, in memory of its own, or in shared memory

A file is the pickle and its frames, one after the other. How long they are, and their checksum, stays in the memory of
the process that wrote them: nobody else reads them, and a file that was changed, cut or exchanged is found out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from collections import deque
from io import FileIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from xxhash import xxh3_128

from nbcluster.errors import CommError
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.store.arrivals import Arrival

if TYPE_CHECKING:
    from nbcluster.store.shared import SharedStore

PIECE = 4 << 20
"""Bytes written, read and checked at a time: so many that a call costs nothing, so few that closing need not wait."""

_OURS = frozenset([errno.EMFILE, errno.ENFILE, errno.ENOMEM])
"""What a read fails of though nothing is wrong with the file."""


class SpillError(Exception):
    """A result on disk is not what was written, or is not there: it has to be had in another way."""


class SpillFolder:
    """Where a process puts what it has no room for in memory. Made when first written to.

    One thread writes and sweeps; any may read.

    Args:
        path: of the folder; the one that it is to lie in is there.

    Example:
        >>> import tempfile
        >>> from nbcluster.protocol.serialize import dump, load
        >>> folder = SpillFolder(Path(tempfile.mkdtemp()) / "spill")
        >>> file = folder.write(dump([1, 2, 3]))
        >>> load(file.read())
        [1, 2, 3]
        >>> folder.close()
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = count()
        self._garbage: deque[Path] = deque()
        self._writing = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"<SpillFolder {self.path}>"

    def write(self, payload: Payload) -> SpillFile:
        """Write a payload. Nothing is copied, and nothing is left of it if it fails.

        Raises:
            OSError: there is no room, or no right to write there; or the folder is closed.
        """
        buffers = [memoryview(payload.data), *(_flat(frame) for frame in payload.frames)]
        with self._writing:
            self._check_open()
            path = self.path / f"{next(self._numbers)}.spill"
            descriptor = self._create(path)
            try:
                try:
                    digest = self._write(descriptor, buffers)
                finally:
                    os.close(descriptor)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return SpillFile(self, path, [buffer.nbytes for buffer in buffers], digest)

    def _create(self, path: Path) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            return os.open(path, flags, 0o600)
        except FileNotFoundError:  # the first file; or somebody has tidied up behind our back
            self.path.mkdir(mode=0o700, exist_ok=True)
            return os.open(path, flags, 0o600)

    def _write(self, descriptor: int, buffers: list[memoryview]) -> bytes:
        checksum = xxh3_128()
        for buffer in buffers:
            for start in range(0, buffer.nbytes, PIECE):
                self._check_open()
                piece = buffer[start : start + PIECE]
                checksum.update(piece)
                while piece:
                    piece = piece[os.write(descriptor, piece) :]
        return checksum.digest()

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(f"results are no longer written to {self.path}: it is closed")

    def discard(self, path: Path) -> None:
        """A file is of no use any more. Never waits: called wherever an object may die."""
        self._garbage.append(path)

    @property
    def untidy(self) -> bool:
        """True if :meth:`sweep` has something to do."""
        return bool(self._garbage)

    def sweep(self) -> None:
        """Remove what is of no use any more."""
        while self._garbage:
            self._garbage.popleft().unlink(missing_ok=True)

    def stop(self) -> None:
        """Have a write that is under way fail, and all others. Does not wait."""
        self._closed = True

    def close(self) -> None:
        """Remove everything. Idempotent."""
        self.stop()
        with self._writing:
            shutil.rmtree(self.path, ignore_errors=True)
            self._garbage.clear()


class SpillFile:
    """One result on disk. The file goes when this does."""

    __slots__ = ("_digest", "_folder", "_sizes", "path")

    def __init__(self, folder: SpillFolder, path: Path, sizes: list[int], digest: bytes) -> None:
        self.path = path
        self._folder = folder
        self._sizes = sizes
        self._digest = digest

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return sum(self._sizes)

    def __repr__(self) -> str:
        return f"<SpillFile {self.path} {self.nbytes} B>"

    def __del__(self) -> None:
        self._folder.discard(self.path)

    def read(self, shared: SharedStore | None = None) -> Payload:
        """What was written, in buffers of its own, which may be written to. May be called from any thread.

        Args:
            shared: where large buffers are put, if there is room; whoever shares them after that needs it twice.

        Raises:
            SpillError: it is not there any more, or not what was written.
            OSError: this process has no descriptor or no memory for it.
        """
        if shared is not None:
            with contextlib.suppress(OSError, CommError):  # no room, nobody to share with: see below
                return self._read(shared)
        try:
            return self._read(None)
        except OSError as error:
            if error.errno in _OURS:
                raise
            raise SpillError(f"{self.path} cannot be read: {error}") from error

    def _read(self, shared: SharedStore | None) -> Payload:
        arrivals: list[Arrival] = []
        try:
            with open(self.path, "rb", buffering=0) as file:
                found = os.fstat(file.fileno()).st_size
                if found != self.nbytes:
                    raise SpillError(f"{self.path} has {found} bytes, and had {self.nbytes} when it was written")
                checksum = xxh3_128()
                data = self._read_data(file, checksum)
                parts: list[bytearray | Arrival] = []
                for size in self._sizes[1:]:
                    arrival = None if shared is None else shared.expect(size)
                    if arrival is None:
                        parts.append(bytearray(size))
                    else:
                        arrivals.append(arrival)
                        parts.append(arrival)
                    self._read_to(parts[-1], size, file, checksum)
            if checksum.digest() != self._digest:
                raise SpillError(f"{self.path} is not what was written: its checksum is another")
            frames = []
            for part in parts:
                if isinstance(part, bytearray):
                    frames.append(Frame(part))
                else:
                    assert shared is not None
                    frames.append(shared.settle(part))
                    arrivals.remove(part)
            return Payload(data, tuple(frames))
        finally:
            for arrival in arrivals:
                assert shared is not None
                shared.give_up(arrival)

    def _read_data(self, file: FileIO, checksum: xxh3_128) -> bytes:
        parts: list[bytes] = []
        missing = self._sizes[0]
        while missing:
            part = file.read(missing)
            self._check_read(part)
            checksum.update(part)
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_to(self, part: bytearray | Arrival, size: int, file: FileIO, checksum: xxh3_128) -> None:
        done = 0
        while done < size:
            room = part.room(done) if isinstance(part, Arrival) else memoryview(part)[done : done + PIECE]
            got = file.readinto(room)
            self._check_read(got)
            checksum.update(room[:got])
            done += got

    def _check_read(self, got: object) -> None:
        if not got:
            raise SpillError(f"{self.path} ended while it was read")


def _flat(frame: Frame) -> memoryview:
    view = memoryview(frame.open())
    return view if view.ndim == 1 and view.format == "B" else view.cast("B")
