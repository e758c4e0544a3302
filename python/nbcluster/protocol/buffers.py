"""Memory for large pieces of data. Most of its price is in its pages, so they are large where that can be had."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable
from typing import Protocol

from nbcluster.protocol.payload import Buffer

_LAZY = 256 * 1024
"""From this size on memory is mapped, not allocated: pages come into being as they are written."""

_HUGE = 4 * 1024 * 1024
"""From this size on memory is asked for in huge pages."""

_PIECE = 1024 * 1024
"""Bytes copied at a time, so that other threads are not held up."""


class Target(Protocol):
    """Memory that a link reads one buffer to."""

    view: memoryview
    """All of it."""

    def room(self, filled: int) -> memoryview:
        """Where to go on after so many bytes; as much of it as is ready to be written to, but at least something."""


Allocate = Callable[[int], Target]


class Plain:
    """Memory of this process alone.

    Args:
        view: all of it.
    """

    __slots__ = ("view",)

    def __init__(self, view: memoryview) -> None:
        self.view = view

    def room(self, filled: int) -> memoryview:
        """All that is left of it."""
        return self.view[filled:]


def allocated(size: int) -> Target:
    """What links read to, unless they are told otherwise.

    Raises:
        OSError, MemoryError: there is not that much.
    """
    return Plain(allocate(size))


def allocate(size: int) -> memoryview:
    """Memory to be written to. A large piece costs nothing but addresses until then.

    Raises:
        OSError, MemoryError: there is not that much.
    """
    if size < _LAZY:
        return memoryview(bytearray(size))
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return memoryview(mmap.mmap(-1, size))
    # Not shared, as mmap's default is: a child forked later must not see what is written here.
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE") and size >= _HUGE:
        with contextlib.suppress(OSError):  # kernels without it say EINVAL
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


def copied(data: Buffer) -> Buffer:
    """The same bytes, in memory of their own, that can be written to.

    Raises:
        MemoryError: there is no room for them.
    """
    view = memoryview(data)
    if view.nbytes < _HUGE:
        return bytearray(view)
    try:
        copy = allocate(view.nbytes)
    except OSError as error:
        raise MemoryError(f"there is no memory for a copy of {view.nbytes} bytes") from error
    for start in range(0, view.nbytes, _PIECE):
        copy[start : start + _PIECE] = view[start : start + _PIECE]
    return copy
