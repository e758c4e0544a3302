"""Hands bytes to a transport, in the way that suits it.

uvloop writes a list of buffers in one system call and holds the rest uncopied: it gets everything at once. Elsewhere
(asyncio's own transports, and TLS on any loop) what cannot be sent at once is copied, and only part of it counted as
pending. Those get a piece at a time, and the next when they have room.
"""

from __future__ import annotations

import asyncio
from collections import deque

from nbcluster.protocol.payload import Buffer

HIGH_WATER = 1 << 20
"""Pending bytes above which ``drained`` is not set."""

PIECE = 256 * 1024
"""Bytes handed over at a time to a transport that copies."""


class Outlet:
    """The writing side of a transport. Its owner passes on ``pause_writing`` and ``resume_writing``."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._takes_all = type(transport).__module__.startswith("uvloop") and not transport.get_extra_info("sslcontext")
        self._queue: deque[memoryview] = deque()
        self._queued = 0
        self._paused = False
        self.drained = asyncio.Event()
        """Set while little is pending."""
        self.drained.set()
        transport.set_write_buffer_limits(high=HIGH_WATER)

    @property
    def pending_bytes(self) -> int:
        """Bytes that were written here and not taken by the operating system yet."""
        return self._queued + self._transport.get_write_buffer_size()

    def write(self, buffers: list[Buffer]) -> None:
        """Send buffers in order; they must not change until they are sent."""
        if self._transport.is_closing():
            return
        if not self._takes_all:
            self._queue += map(memoryview, buffers)
            self._queued += sum(map(len, buffers))
            self._pump()
        elif len(buffers) == 1:
            self._transport.write(buffers[0])
        else:
            self._transport.writelines(buffers)

    def pause(self) -> None:
        """The transport has enough."""
        self._paused = True
        self.drained.clear()

    def resume(self) -> None:
        """The transport has room."""
        self._paused = False
        self._pump()

    def _pump(self) -> None:
        while self._queue and not self._paused:
            piece = self._next_piece()
            self._queued -= len(piece)
            self._transport.write(piece)
        if not self._paused:
            self.drained.set()
        elif self._queue:
            self.drained.clear()

    def _next_piece(self) -> Buffer:
        first = self._queue[0]
        if len(first) > PIECE:
            self._queue[0] = first[PIECE:]
            return first[:PIECE]
        small, size = [], 0
        while self._queue and size + len(self._queue[0]) <= PIECE:
            size += len(self._queue[0])
            small.append(self._queue.popleft())
        return small[0] if len(small) == 1 else b"".join(small)
