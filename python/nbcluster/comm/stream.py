"""A link over any byte stream that asyncio or uvloop has: TCP, TLS, Unix sockets.

    send() ── Encoder ── end of the loop's turn ──▶ one gathered write
    receiver.received() ◀── Decoder ◀── reads straight into the decoder's buffers

How a link ends
- ``close`` on one side sends what is queued and a goodbye, and goes on reading (but no longer delivers) until the other
  side has closed: closing a socket with unread input would destroy what is still on its way out.
- Who receives a goodbye closes at once: nobody hears it any more.
- An end of the stream without a goodbye is a loss: ``CommClosedError``. Wrong bytes are a ``ProtocolError``.
- Who closes does not wait for a peer that no longer reads: without progress for ``LINGER`` seconds the link is aborted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nbcluster.comm.base import Connection, Receiver
from nbcluster.comm.lending import Lending
from nbcluster.comm.outlet import Outlet
from nbcluster.errors import CommClosedError, ProtocolError
from nbcluster.protocol.buffers import Allocate
from nbcluster.protocol.framing import DEFAULT_LIMITS, GOODBYE, Decoder, Encoder, Limits
from nbcluster.protocol.payload import SharedMemory
from nbcluster.protocol.records import Message
from nbcluster.types import Address, Role

LINGER = 2.0
"""Seconds that a closing link waits for a peer that takes nothing."""


class StreamConnection(asyncio.BufferedProtocol, Connection):
    """One end of a link whose handshake is done.

    Args:
        transport: where the bytes go; its reading is paused until :meth:`start`.
        role: what the connecting side is.
        local_address: this end.
        peer_address: the other end.
        incoming: what may arrive: a ``Message`` class, or a union of them.
        limits: what a frame may be.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        role: Role,
        local_address: Address,
        peer_address: Address,
        incoming: Any,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.role = role
        self.local_address = local_address
        self.peer_address = peer_address
        self.same_host = self.lends = peer_address.startswith("unix://")
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._limits = limits
        self._encoder = Encoder(limits)
        self._decoder = Decoder(incoming, limits)
        self._receiver: Receiver | None = None
        self._delivering = False
        self._early: list[Any] = []
        self._flush_due = False
        self._closed = False
        self._deaf = False
        self._error: Exception | None = None
        self._outlet = Outlet(transport)
        self._gone = asyncio.Event()
        self._linger: asyncio.TimerHandle | None = None
        self._incoming = incoming
        self._lending: Lending | None = None
        self._reading = transport.is_closing()
        if not self._reading:
            transport.pause_reading()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{self.role} link {self.local_address} to {self.peer_address}, {state}>"

    def share(self, memory: SharedMemory) -> None:
        """Take names of what is in this memory, and if the other end does so too, send no more than these."""
        self._encoder.shares = self.same_host
        self._decoder.shared = memory

    def read_into(self, allocate: Allocate) -> None:
        """Have large buffers read to memory that this makes."""
        self._decoder.allocate = allocate

    # --- sending ---------------------------------------------------------------------------------

    def send(self, *messages: Message) -> None:
        """Queue messages; they leave together at the end of this loop turn."""
        if self._closed:
            raise CommClosedError(f"the link to {self.peer_address} is closed")
        self._encoder.add(messages)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._end_turn)

    def send_now(self, *messages: Message) -> None:
        """Send messages after those that are queued, at once."""
        if self._closed:
            raise CommClosedError(f"the link to {self.peer_address} is closed")
        self._encoder.add(messages)
        self._flush()

    def allow_threads(self) -> bool:
        """Prepare for :meth:`send_at_once`. Returns False on a link that is encrypted."""
        return self._outlet.allow_threads()

    def send_at_once(self, message: Message, first: Callable[[], None], keep_gil: bool = False) -> bool:
        """Send a message from any thread, if it is small and nothing else is on its way out."""
        if self._closed or self._flush_due or self._outlet.socket is None:
            return False
        encoder = Encoder(self._limits)
        encoder.add((message,))
        buffers = encoder.take()
        return len(buffers) == 1 and self._outlet.write_at_once(buffers[0], first, keep_gil)

    def _end_turn(self) -> None:
        self._flush_due = False
        self._flush()

    def _flush(self) -> None:
        buffers = self._encoder.take()
        if buffers and not self._gone.is_set():
            self._outlet.write(buffers)

    @property
    def pending_bytes(self) -> int:
        """Bytes that this side still holds."""
        if self._gone.is_set():
            return 0
        return self._encoder.pending_bytes + self._outlet.pending_bytes

    async def drain(self) -> None:
        """Wait until little is pending.

        Raises:
            CommClosedError: the link is closed, or was lost while waiting.
        """
        self._flush()
        await self._outlet.drained.wait()
        if self._closed:
            raise CommClosedError(f"the link to {self.peer_address} is closed")

    def pause_writing(self) -> None:
        """Called by the transport when much is pending."""
        self._outlet.pause()

    def resume_writing(self) -> None:
        """Called by the transport when little is pending again."""
        self._outlet.resume()

    # --- receiving -------------------------------------------------------------------------------

    def start(self, receiver: Receiver) -> None:
        """Begin to deliver. What arrived before waits until then."""
        if self._receiver is not None:
            raise RuntimeError(f"{self!r} has been started already")
        self._receiver = receiver
        self._loop.call_soon(self._start_delivery)
        self._read_on()  # what is there already is taken in by then

    def _start_delivery(self) -> None:
        assert self._receiver is not None
        self._delivering = True
        early, self._early = self._early, []
        if early:
            self._deliver(early)
        if self._gone.is_set():
            self._receiver.lost(self._error)

    def _read_on(self) -> None:
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by the transport: where the next bytes belong."""
        return self._decoder.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """Called by the transport: that many bytes were read."""
        self._take_in(self._decoder.buffer_updated, nbytes)

    def _take_in(self, decode: Callable[[Any], list[Any]], what: int | bytes) -> None:
        try:
            messages = decode(what)
        except ProtocolError as error:
            self._fail(error)
            return
        if messages:
            self._deliver(messages)
        if self._decoder.said_goodbye:
            self._closed = True
            self._transport.abort()

    def _deliver(self, messages: list[Any]) -> None:
        if self._deaf:
            return
        if not self._delivering or self._receiver is None:
            # Reading is paused, but some transports have read ahead.
            self._early += messages
            return
        try:
            self._receiver.received(messages)
        except Exception as error:
            self._loop.call_exception_handler({"message": f"{self!r} is dropped", "exception": error})
            self._fail(error)

    def eof_received(self) -> None:
        """Called by the transport: the peer closed, died or was cut off."""
        if not self._decoder.said_goodbye and not self._closed:
            where = "in the middle of a message" if self._decoder.midway else "without a goodbye"
            self._fail(CommClosedError(f"the link to {self.peer_address} ended {where}"))

    # --- reading in threads ----------------------------------------------------------------------

    def lend_reading(self) -> Lending | None:
        """Let threads read, on a link over a Unix socket. On the loop. None if this is not the time for it."""
        ready = self._delivering and self._reading and not self._closed and not self._decoder.midway
        if not ready or not self.lends or not self.allow_threads():
            return None
        if self._lending is None:
            assert self._outlet.socket is not None
            self._lending = Lending(self._outlet.socket, self._incoming)
        if not self._lending.lent:
            self._transport.pause_reading()
            self._lending.lent = True
        return self._lending

    @property
    def lent(self) -> bool:
        """True while threads may read it, and the loop does not."""
        return self._lending is not None and self._lending.lent

    def take_back_reading(self) -> bool:
        """Read again on the loop. False if a thread is reading just now."""
        if self._lending is None or not self.lent:
            return True
        left = self._lending.take_back()
        if left is None:
            return False
        self._reading = False
        for data in left:
            if not self._closed:
                self._take_in(self._decoder.feed, data)
        self._read_on()
        return True

    # --- the end ---------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """True from the moment at which ``send`` would fail."""
        return self._closed

    async def close(self) -> None:
        """Flush, close and wait until closed. Idempotent."""
        while True:
            if self.take_back_reading():
                break
            await asyncio.sleep(0.001)  # a thread reads, and stops soon
        if self._linger is None and not self._gone.is_set():
            self._deaf = True
            if not self._closed:
                self._flush()
                self._closed = True
                self._outlet.write([GOODBYE])
            self._read_on()
            self._linger = self._loop.call_later(LINGER, self._check_progress, self.pending_bytes)
        await self._gone.wait()

    def abort(self) -> None:
        """Close at once; what is pending is lost. Idempotent."""
        self._deaf = self._closed = True
        if not self._gone.is_set():
            self._transport.abort()

    def _check_progress(self, pending_before: int) -> None:
        pending = self.pending_bytes
        if pending == 0 or pending >= pending_before:
            self.abort()
        else:
            self._linger = self._loop.call_later(LINGER, self._check_progress, pending)

    def _fail(self, error: Exception) -> None:
        if self._error is None and not self._closed:
            self._error = error
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport, once, when it is closed."""
        if not self._closed and self._error is None:
            self._error = CommClosedError(f"the link to {self.peer_address} broke: {exc or 'closed'}")
            self._error.__cause__ = exc
        self._closed = True
        self._gone.set()
        self._outlet.close()
        if self._linger is not None:
            self._linger.cancel()
        if self._delivering and self._receiver is not None:
            self._receiver.lost(self._error)
