"""Hands bytes to a transport, in the way that suits it.

uvloop writes a list of buffers in one system call and holds the rest uncopied: it gets everything at once. Elsewhere
(asyncio's own transports, and TLS on any loop) what cannot be sent at once is copied, and only part of it counted as
pending. Those get a piece at a time, and the next when they have room.

Another thread may write to the socket itself, which saves waking the loop, as long as the transport has nothing to
write. One lock is held by whoever looks at what is pending and then writes, so that frames never mix. What the socket
does not take is left to the loop, ahead of all that is written later. An interrupt (Ctrl-C) may hit that thread at any
instruction: so how much was sent is noted by the same call in C that sends it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator

from nbcluster.comm import keeping_gil
from nbcluster.protocol.payload import Buffer

HIGH_WATER = 1 << 20
"""Pending bytes above which ``drained`` is not set."""

PIECE = 256 * 1024
"""Bytes handed over at a time to a transport that copies."""

AT_ONCE = 256 * 1024
"""Bytes up to which other threads may write at a time: about what a socket holds."""


class _AtOnce:
    """What a thread writes, and how many bytes of it were sent."""

    __slots__ = ("data", "sent")

    def __init__(self, data: Buffer) -> None:
        self.data = data
        self.sent: deque[int] = deque()

    @property
    def left(self) -> int:
        """How many bytes were not."""
        return len(self.data) - max(sum(self.sent), 0)


_NOTHING = _AtOnce(b"")


class Outlet:
    """The writing side of a transport. Its owner passes on ``pause_writing`` and ``resume_writing``."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._takes_all = type(transport).__module__.startswith("uvloop") and not transport.get_extra_info("sslcontext")
        self._queue: deque[memoryview] = deque()
        self._queued = 0
        self._paused = False
        self._lock = threading.Lock()
        self._own: socket.socket | None = None
        """The same socket, for other threads: the transport closes its own when it likes."""
        self._loop: asyncio.AbstractEventLoop
        self._at_once = _NOTHING
        """What another thread has written last, and the loop may have to write the rest of."""
        self.drained = asyncio.Event()
        """Set while little is pending."""
        self.drained.set()
        transport.set_write_buffer_limits(high=HIGH_WATER)

    @property
    def pending_bytes(self) -> int:
        """Bytes that were written here and not taken by the operating system yet."""
        return self._at_once.left + self._queued + self._transport.get_write_buffer_size()

    def allow_threads(self) -> bool:
        """Let other threads write, unless the transport encrypts. On the loop. Returns whether they may."""
        if self._own is None and not self._transport.get_extra_info("sslcontext"):
            theirs = self._transport.get_extra_info("socket")
            self._own = socket.socket(theirs.family, theirs.type, theirs.proto, os.dup(theirs.fileno()))
            self._loop = asyncio.get_running_loop()
        return self._own is not None

    @property
    def socket(self) -> socket.socket | None:
        """The socket, for other threads, if they are allowed and it is open."""
        return self._own

    def write_at_once(self, data: Buffer, first: Callable[[], None], keep_gil: bool = False) -> bool:
        """Write from any thread, if nothing is pending, after a call of ``first``. Returns whether it was done.

        ``keep_gil``: the thread computes on, and is not to lose Python's interpreter lock to another meanwhile.
        """
        with self._lock:
            if self._own is None or len(data) > AT_ONCE or self.pending_bytes or self._transport.is_closing():
                return False
            first()
            try:
                at_once = self._at_once = _AtOnce(data)
                at_once.sent.extend(_sends(self._own, data, keep_gil))
            except BlockingIOError:
                pass  # nothing was sent: the loop does it all
            except OSError:  # the loop will hear that the link has broken
                self._at_once = _NOTHING
            finally:
                if self._at_once.left:
                    self._loop.call_soon_threadsafe(self.write, [])
                else:
                    self._at_once = _NOTHING
        return True

    def close(self) -> None:
        """The transport is closed."""
        self.drained.set()
        with self._lock:
            if self._own is not None:
                self._own.close()
                self._own = None

    def write(self, buffers: list[Buffer]) -> None:
        """Send buffers in order; they must not change until they are sent."""
        with self._lock:
            if self._at_once is not _NOTHING:
                if left := self._at_once.left:
                    buffers = [memoryview(self._at_once.data)[-left:], *buffers]
                self._at_once = _NOTHING
            if buffers and not self._transport.is_closing():
                self._write(buffers)

    def _write(self, buffers: list[Buffer]) -> None:
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


def _sends(sock: socket.socket, data: Buffer, keep_gil: bool) -> Iterator[int]:
    """What sends when the next number is asked for: that of the bytes that were sent, or -1."""
    if keep_gil:
        return map(keeping_gil.sender(), (sock.fileno(),), (bytes(data),), (len(data),), (socket.MSG_DONTWAIT,))
    return map(sock.send, (data,), (socket.MSG_DONTWAIT,))
