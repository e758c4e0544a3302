"""Memory that links read large data to, and read the next to once nobody holds the last any more.

Memory that nobody has touched yet has to be cleared, page by page, and a virtual machine may have to get it from its
host before: that can take longer than the data takes to come. So what a client reads one large result to is kept for a
little while, and filled again. It is never taken from anybody: each filling hands out an object of its own, which all
views of the memory hold, whoever made them, so a weak reference tells when the last of them is gone.
"""

from __future__ import annotations

import asyncio
import ctypes
import weakref
from pickle import PickleBuffer

from nbcluster.protocol.buffers import Plain, Target, allocate, allocated

SIZE_LEAST, SIZE_MOST = 4 << 20, 1 << 30
"""Bytes. Smaller pieces cost little, and so much memory as larger ones have should not be idle."""

SECONDS = 2.0
"""Between two looks. What was not in use at two of them in a row is given back."""

WASTE = 8
"""Data that would leave more than one part in so many of a piece unused does not go there."""


class RefilledMemory:
    """To be given to ``Connection.read_into``. On one loop.

    Args:
        loop: the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pieces: list[_Piece] = []
        self._next_look: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<RefilledMemory of {len(self)} pieces>"

    def __len__(self) -> int:
        return len(self._pieces)

    def __call__(self, size: int) -> Target:
        """Memory for one buffer, in the smallest unused piece in which it does not waste too much, if there is one.

        Raises:
            OSError, MemoryError: there is not that much.
        """
        if not SIZE_LEAST <= size <= SIZE_MOST:
            return allocated(size)
        fitting = [one for one in self._pieces if size <= one.size <= size + size // WASTE and not one.in_use]
        if fitting:
            piece = min(fitting, key=lambda one: one.size)
        else:
            piece = _Piece(size)
            self._pieces.append(piece)
            self._look_later()
        return Plain(piece.lend(size))

    def close(self) -> None:
        """Keep nothing; what is in use stays with those who use it. Idempotent."""
        self._pieces.clear()
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None

    def _look_later(self) -> None:
        if self._next_look is None and self._pieces:
            self._next_look = self._loop.call_later(SECONDS, self.look)

    def look(self) -> None:
        """Give back what is not in use, and was not when it was looked for last."""
        self._next_look = None
        self._pieces = [piece for piece in self._pieces if piece.in_use or not piece.was_unused]
        for piece in self._pieces:
            piece.was_unused = not piece.in_use
        self._look_later()


class _Piece:
    """Memory that is lent to one user after the other."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.was_unused = False
        self._memory = allocate(size)
        self._user: weakref.ref[ctypes.Array[ctypes.c_ubyte]] | None = None

    @property
    def in_use(self) -> bool:
        return self._user is not None and self._user() is not None

    def lend(self, size: int) -> memoryview:
        user = (ctypes.c_ubyte * size).from_buffer(self._memory)
        self._user = weakref.ref(user)
        self.was_unused = False
        return PickleBuffer(user).raw()
