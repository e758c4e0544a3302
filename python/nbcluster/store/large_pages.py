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

import functools
import mmap
import os
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import ctypes

SIZE = 2 << 20

# Of <linux/mman.h>; older Pythons lack some.
_MAP_FIXED, _MAP_NORESERVE = 0x10, 0x4000
_MADV_COLLAPSE = 25

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
    """Writes to a new file in large pages. May be used by several threads at once.

    Args:
        fd: the file, empty and of its final size.
        data: all that is to be in it.
    """

    def __init__(self, fd: int, data: memoryview) -> None:
        self._fd = fd
        self._source = _address(data)
        self._whole = data.nbytes // SIZE * SIZE
        there = aligned(mmap.mmap, fd, 0, self._whole, shared=True) if self._whole else None
        self._mapping = None if there is None else there[0]
        self._target = 0 if there is None else _address(there[0]) + there[1]
        self._refused = False
        """The kernel has no large pages for us."""

    def fill(self, start: int, stop: int) -> int:
        """Copy a piece of the data to its place.

        Args:
            start: where it begins; a multiple of ``SIZE``.
            stop: where it ends.

        Returns:
            How much of it was copied; the rest is not worth a large page, or got none.

        Raises:
            OSError: there is no memory.
        """
        libc = _libc()
        nbytes = min(stop, self._whole) - start
        if nbytes <= 0 or self._refused or self._mapping is None or libc is None:
            return 0
        for page in range(start, start + nbytes, SIZE):
            os.pwrite(self._fd, b"\0", page)  # not through the mapping: where that fails the process is killed
        target = self._target + start
        if libc.madvise(target, nbytes, _MADV_COLLAPSE) != 0:
            self._refused = True
            return 0
        libc.memcpy(target, self._source + start, nbytes)
        libc.madvise(target, nbytes, mmap.MADV_DONTNEED)  # it is everybody's, and counts no longer as ours
        return nbytes

    def close(self) -> None:
        """Unmap the file: it cannot be sealed before. No thread may be in :meth:`fill` any more."""
        if self._mapping is not None:
            self._mapping.close()
            self._mapping = None


def _address(buffer: memoryview | mmap.mmap) -> int:
    """Where it is in memory: for as long as somebody has it."""
    import ctypes

    words = (ctypes.c_void_p * 16)()  # as large as a Py_buffer, whose first word is the address
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(buffer), words, 0)
    address = words[0]
    ctypes.pythonapi.PyBuffer_Release(words)
    assert address is not None
    return address
