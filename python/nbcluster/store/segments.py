"""Memory that processes of one host share: anonymous files of the kernel (``memfd``), passed on as descriptors.

Not ``/dev/shm``: containers have little of it, and what lies there outlives its users. A memfd is gone with its last
holder, however that one ends.

Nobody can write to what was shared
- Whoever receives a segment's descriptor maps it copy-on-write: it reads what everybody reads, and what it writes is
  its own.
- A descriptor opens no other way: a segment is sealed before it is given away. The maker of an arena keeps the one
  mapping that can write, to fill it piece by piece; and so may the maker of a large segment, to fill it anew.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from collections.abc import Callable

from nbcluster.store import large_pages
from nbcluster.store.filling import Look, fill
from nbcluster.store.large_pages import Filler

if sys.platform != "win32":
    import fcntl
    import resource

AVAILABLE = hasattr(os, "memfd_create")
"""False where the kernel has none: then data is sent, not shared."""

PIECE = 1 << 20
"""Bytes copied at a time. More would be slower (the cache is this large), and for longer hold up other threads."""

PAGE = mmap.ALLOCATIONGRANULARITY

# Of <linux/fcntl.h>: F_SEAL_SHRINK and F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_FUTURE_WRITE; older Pythons lack the last one.
_NO_RESIZE = 2 | 4
_NO_WRITE = _NO_RESIZE | 8
_NO_FUTURE_WRITE = _NO_RESIZE | 16


def sealed(data: memoryview, look: Look | None = None) -> int:
    """A segment with just this in it, that nobody can ever change. Returns its descriptor.

    Args:
        data: bytes.
        look: sees them while they are copied; see ``filling``.

    Raises:
        OSError: there is no memory, or no descriptor.
    """
    fd, filler = _filled(data, look)
    filler.close()  # as long as it is mapped it cannot be sealed like this
    return _sealed(fd, _NO_WRITE)


def refillable(data: memoryview, look: Look | None = None) -> tuple[int, Filler]:
    """The same, but its maker can fill it anew, once nobody sees it any more; if the filler is lasting.

    Raises:
        OSError: there is no memory, or no descriptor.
    """
    fd, filler = _filled(data, look)
    return _sealed(fd, _NO_FUTURE_WRITE if filler.lasting else _NO_WRITE), filler


def unfilled(nbytes: int) -> tuple[int, Filler]:
    """A segment that others than the filler write to, through its mapping, before it is :func:`finished`.

    Raises:
        OSError: there is no memory, or no descriptor.
    """
    fd = _create(nbytes)
    try:
        return fd, Filler(fd, nbytes)
    except BaseException:
        os.close(fd)
        raise


def finished(fd: int, filler: Filler) -> int:
    """Seal it: only the filler can write there from now on. The descriptor again, which is closed if that fails."""
    filler.finish()
    return _sealed(fd, _NO_FUTURE_WRITE)


def _filled(data: memoryview, look: Look | None) -> tuple[int, Filler]:
    fd = _create(data.nbytes)
    try:
        filler = Filler(fd, data.nbytes)
        fill(filler, data, look)
        filler.finish()
    except BaseException:
        os.close(fd)
        raise
    return fd, filler


def writable(nbytes: int) -> tuple[int, mmap.mmap]:
    """A segment to be filled piece by piece: its descriptor, good for reading only, and the mapping to write to.

    Raises:
        OSError: there is no memory, or no descriptor.
    """
    fd = _create(nbytes)
    try:
        mapping = mmap.mmap(fd, nbytes)
    except BaseException:
        os.close(fd)
        raise
    return _sealed(fd, _NO_FUTURE_WRITE), mapping


def let_go(mapping: mmap.mmap, offset: int, nbytes: int) -> None:
    """Have what was written to an arena no longer count as memory of this process: it is everybody's, and stays."""
    start = offset // mmap.PAGESIZE * mmap.PAGESIZE
    mapping.madvise(mmap.MADV_DONTNEED, start, offset + nbytes - start)


def view(fd: int, offset: int, nbytes: int, on_end: Callable[[], None]) -> memoryview:
    """Map a piece of a segment, copy-on-write; ``on_end`` is called when the last view of it is gone.

    Raises:
        OSError: there is no memory, or there are too many mappings.
    """
    start = 0
    aligned = large_pages.aligned(_Mapping, fd, offset, nbytes) if nbytes >= large_pages.SIZE else None
    if aligned is not None:
        mapping, start = aligned
    elif sys.version_info >= (3, 13):
        mapping = _Mapping(fd, nbytes, access=mmap.ACCESS_COPY, offset=offset, trackfd=False)
    else:
        mapping = _Mapping(fd, nbytes, access=mmap.ACCESS_COPY, offset=offset)
    mapping.on_end = on_end
    return memoryview(mapping)[start : start + nbytes]


class _Mapping(mmap.mmap):
    """Lives as long as anything looks into it: every view holds it."""

    on_end: Callable[[], None] | None = None  # as long as it is not even mapped

    def __del__(self) -> None:
        if self.on_end is not None:
            self.on_end()


def read(fd: int, offset: int, nbytes: int) -> memoryview:
    """Copy a piece of a segment.

    Raises:
        MemoryError: there is no room for it.
    """
    data = memoryview(bytearray(nbytes))
    done = 0
    while done < nbytes:
        done += os.preadv(fd, [data[done : done + PIECE]], offset + done)
    return data


def allow_many_descriptors() -> None:
    """Raise this process's soft limit of open files to the hard one: each mapping takes a descriptor."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # some kernels promise more than they allow
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _sealed(fd: int, seals: int) -> int:
    """Seal as much of it as this kernel can. The descriptor again, which is closed if that fails.

    That nobody resizes a segment is what keeps its readers alive; all kernels can do that. That nobody writes to it
    guards against mistakes: those who get its descriptor are processes of the same user, and map it copy-on-write.
    """
    try:
        try:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        except OSError:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _NO_RESIZE)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _create(nbytes: int) -> int:
    fd = os.memfd_create("nbcluster", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, nbytes)
    except BaseException:
        os.close(fd)
        raise
    return fd
