"""Large pages for shared memory: 2 MiB each, where the kernel has them.

A new segment in pages of 4 KiB costs several times what copying its bytes costs, for the kernel clears and enters each
page by itself; and so does every mapping of it that is read. In pages of 2 MiB it costs next to nothing.

Shared memory gets no large pages by itself: ``transparent_hugepage/shmem_enabled`` is ``never`` nearly everywhere. But
who asks for a particular one gets it (``MADV_COLLAPSE``, since Linux 6.1), if

- something is in it already: one byte is enough;
- the mapping is aligned: addresses in memory and offsets in the file agree modulo 2 MiB. Python's ``mmap`` chooses no
  addresses; so it makes room for a little more, and the file is mapped there, into that room, by the C library.

For those who map a segment to read it the same alignment is all it takes. Where any of this is missing nothing changes
but the time: nobody here raises because of it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import mmap
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import ctypes

SIZE = 2 << 20

# Of <linux/mman.h>; older Pythons lack some.
_MAP_FIXED, _MAP_NORESERVE = 0x10, 0x4000
_MADV_COLLAPSE = 25

WRITTEN = 1 << 20
"""Bytes written at a time. More would be slower (the cache is this large), and for longer hold up other threads."""

SLOWEST = 0.3e9
"""Bytes per second that are tolerated: where the kernel has to search longer for two free megabytes in a row, the rest
is done without. Thirty times as much is usual. A virtual machine that has given memory back to its host gets it again
at a pace a little above this: then large pages still pay, for they are filled once and read often."""

M = TypeVar("M", bound=mmap.mmap)


@functools.cache
def _libc() -> ctypes.CDLL | None:
    """The C library's calls that Python's own modules do not offer; unlike those, they are made without the lock."""
    import ctypes  # not before it is needed: most processes share nothing large

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        libc.memcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        libc.memcpy.restype = ctypes.c_void_p
    except (OSError, AttributeError, TypeError):
        return None
    return libc if ctypes.sizeof(ctypes.c_long) == 8 else None  # else offsets would be something else


def aligned(kind: type[M], fd: int, offset: int, nbytes: int, *, shared: bool = False) -> tuple[M, int] | None:
    """Map a piece of a file so that its large pages are mapped as such.

    Args:
        kind: of mapping to make.
        fd: the file; the mapping needs no descriptor.
        offset: in the file; a multiple of ``SIZE``.
        nbytes: how many.
        shared: for writing to the file; else the mapping is copy-on-write.

    Returns:
        The mapping, which is larger than what was asked for, and where in it the piece begins; None if that cannot be.
    """
    libc = _libc()
    if libc is None or offset % SIZE:
        return None
    try:
        room = kind(-1, nbytes + SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
    except OSError:
        return None
    start = _address(room)
    skip = -start % SIZE
    flags = _MAP_FIXED | (mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE)
    mapped = libc.mmap(start + skip, nbytes, mmap.PROT_READ | mmap.PROT_WRITE, flags, fd, offset)
    return (room, skip) if mapped == start + skip else None


class Filler:
    """Writes to a file of its own: at first as to any file, later, when it is sealed, through the one mapping that can.

    Several threads may call :meth:`put` at once.

    Args:
        fd: the file, empty and of its final size. It may be closed after :meth:`finish`.
        nbytes: its size.
        clock: seconds, from anywhere.
    """

    def __init__(self, fd: int, nbytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.nbytes = nbytes
        self._clock = clock
        self._fd: int | None = fd
        self._whole = nbytes // SIZE * SIZE
        there = aligned(mmap.mmap, fd, 0, nbytes, shared=True) if self._whole else None
        self._mapping = None if there is None else there[0]
        self._skip = 0 if there is None else there[1]
        self._target = 0 if there is None else _address(there[0]) + self._skip
        self._large: set[int] = set()
        """Where the pieces begin that are in large pages already."""
        self._refused = self._mapping is None
        """The kernel has no large pages for us."""
        self._data = memoryview(b"")
        self._source = 0
        self._patience = 0.0

    @property
    def lasting(self) -> bool:
        """True if it can still write when the file is sealed."""
        return self._mapping is not None

    def begin(self, data: memoryview) -> None:
        """From now on :meth:`put` copies from here: at most as many bytes as there are in the file."""
        self._data = data
        self._source = _address(data)
        self._patience = self._clock() + self._whole / SLOWEST

    def open(self) -> memoryview:
        """All of the file, to be written to by others than :meth:`put`: after :meth:`ready`, piece by piece.

        Only if it is ``lasting``.
        """
        self._patience = self._clock() + self._whole / SLOWEST
        assert self._mapping is not None
        return memoryview(self._mapping)[self._skip : self._skip + self.nbytes]

    def ready(self, start: int, stop: int) -> None:
        """Have a piece in large pages if they are to be had.

        Args:
            start: where it begins; a multiple of ``SIZE``.
            stop: where it ends: at most ``SIZE`` later.
        """
        self._enlarge(start, min(stop, self._whole))

    def written(self, start: int, stop: int) -> None:
        """A piece has been written by others: it is everybody's, and counts no longer as ours."""
        libc = _libc()
        if libc is not None:
            libc.madvise(self._target + start, stop - start, mmap.MADV_DONTNEED)

    def put(self, start: int, stop: int) -> None:
        """Copy a piece to its place.

        Args:
            start: where it begins; a multiple of ``SIZE``.
            stop: where it ends.

        Raises:
            OSError: there is no memory.
        """
        whole = min(stop, self._whole)
        if self._enlarge(start, whole):
            self._copy(start, whole)
            start = whole
        if self._fd is None:
            self._copy(start, stop)
        else:
            for at in range(start, stop, WRITTEN):
                _write_all(self._fd, self._data[at : min(at + WRITTEN, stop)], at)

    def _enlarge(self, start: int, stop: int) -> bool:
        """Have a piece in large pages, if it can be had and does not take too long."""
        libc = _libc()
        if start in self._large:
            return True
        if stop <= start or self._refused or libc is None or self._clock() >= self._patience:
            return False
        if self._fd is not None:
            for page in range(start, stop, SIZE):
                os.pwrite(self._fd, b"\0", page)  # not through the mapping: where that fails the process is killed
        if libc.madvise(self._target + start, stop - start, _MADV_COLLAPSE) != 0:
            self._refused = _errno() == errno.EINVAL  # else there is none just now
            return False
        self._large.add(start)
        return True

    def _copy(self, start: int, stop: int) -> None:
        libc = _libc()
        if libc is None or stop <= start:
            return
        libc.memcpy(self._target + start, self._source + start, stop - start)
        # It is everybody's, and counts no longer as ours. Pieces begin with pages, and end with them or the file.
        libc.madvise(self._target + start, stop - start, mmap.MADV_DONTNEED)

    def end(self) -> None:
        """All has been copied, or nothing more will be."""
        self._data = memoryview(b"")

    def finish(self) -> None:
        """The file is about to be sealed and given away: only the mapping is left."""
        self._fd = None

    def close(self) -> None:
        """Write no more. No thread may be in :meth:`put`."""
        mapping, self._mapping = self._mapping, None
        if mapping is not None:
            with contextlib.suppress(BufferError):  # somebody reads or writes there still: it is gone with them
                mapping.close()


def _write_all(fd: int, data: memoryview, offset: int) -> None:
    # Written, and not to a mapping: so the kernel fills whole pages instead of clearing them first.
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written


def _errno() -> int:
    import ctypes

    return ctypes.get_errno()


def _address(buffer: memoryview | mmap.mmap) -> int:
    """Where it is in memory: for as long as somebody has it."""
    import ctypes

    words = (ctypes.c_void_p * 16)()  # as large as a Py_buffer, whose first word is the address
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(buffer), words, 0)
    address = words[0]
    ctypes.pythonapi.PyBuffer_Release(words)
    assert address is not None
    return address
