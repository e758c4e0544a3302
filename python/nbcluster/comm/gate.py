"""The gate in every stream listener and connector: nothing becomes a link that has not passed the handshake.

    transport ── Gate (handshake, deadline) ──▶ StreamConnection, which takes the transport over

It reads no more than the next record of the handshake, into a buffer of just that size: at most 75 bytes, and nothing
is decoded. Who is not through by the deadline is dropped; who fails is told so after a while, and then dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from nbcluster.comm.admission import Admission
from nbcluster.comm.stream import StreamConnection
from nbcluster.errors import CommClosedError, HandshakeError
from nbcluster.protocol.handshake import ConnectorHandshake, ListenerHandshake
from nbcluster.types import Role


class MakeLink(Protocol):
    """Turns a transport whose handshake is done into a link."""

    def __call__(self, transport: asyncio.Transport, role: Role, /) -> StreamConnection:
        """Must pause reading."""


class Gate(asyncio.BufferedProtocol):
    """One handshake over one transport.

    Args:
        handshake: either side's.
        make_link: what to do with the transport when it has succeeded.
        on_open: takes the link.
        on_failure: told, at most once and instead of ``on_open``, why there will be none.
        admission: the listener's; None for a connector, whose patience is its caller's business.
        opening: what a connector says first: it leaves together with the proof.
        check_peer: raises ``HandshakeError`` if the transport's other end may not even try.
    """

    def __init__(
        self,
        handshake: ConnectorHandshake | ListenerHandshake,
        make_link: MakeLink,
        *,
        on_open: Callable[[StreamConnection], None],
        on_failure: Callable[[Exception], None],
        admission: Admission | None = None,
        opening: bytes = b"",
        check_peer: Callable[[asyncio.BaseTransport], None] | None = None,
    ) -> None:
        self._handshake = handshake
        self._make_link = make_link
        self._on_open = on_open
        self._on_failure = on_failure
        self._admission = admission
        self._opening = opening
        self._check_peer = check_peer
        self._record = bytearray(handshake.wanted)
        self._filled = 0
        self._prepared: StreamConnection | None = None
        self._link: StreamConnection | None = None
        self._refused = self._decided = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._penalty: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the transport."""
        self._transport = stream = cast(asyncio.Transport, transport)  # uvloop's are not registered as such
        if self._admission is not None:
            self._admission.enter(self)
            deadline = self._admission.policy.deadline
            self._timer = asyncio.get_running_loop().call_later(
                deadline, self._fail, HandshakeError(f"no handshake in {deadline:g} s")
            )
        try:
            if self._check_peer is not None:
                self._check_peer(transport)
        except HandshakeError as error:
            self._fail(error)
            return
        if isinstance(self._handshake, ConnectorHandshake) and not self._handshake.has_begun:
            stream.write(self._handshake.begin())

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by the transport: no more room than for the next record of the handshake."""
        if self._link is not None:
            # Some transports call the protocol that they had when they began to hand over a piece of input.
            return self._link.get_buffer(sizehint)
        return memoryview(self._record)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Called by the transport: that many bytes were read."""
        if self._link is not None:
            self._link.buffer_updated(nbytes)
            return
        self._filled += nbytes
        if self._filled < len(self._record) or self._refused:
            return
        assert self._transport is not None
        try:
            reply = self._handshake.feed(bytes(self._record))
        except HandshakeError as error:
            self._refuse(error)
            return
        if self._handshake.wanted:
            self._transport.write(reply + self._opening)
            self._record = bytearray(self._handshake.wanted)
            self._filled = 0
            if isinstance(self._handshake, ConnectorHandshake):  # in the next turn: at the end of this one it is sent
                asyncio.get_running_loop().call_soon(self._prepare, self._transport)
        else:
            if reply:
                self._transport.write(reply)  # at once: the other side gets ready while we look at what else it says
            self._open(self._transport)

    def eof_received(self) -> None:
        """Called by the transport."""
        self._fail(CommClosedError("the connection was closed during the handshake"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport."""
        self._fail(exc or CommClosedError("the connection was closed during the handshake"))

    def abort(self) -> None:
        """Give up at once."""
        self._fail(CommClosedError("the connection was dropped during the handshake"))

    def _prepare(self, transport: asyncio.Transport) -> None:
        """The listener has proved itself: make the link while it looks at our proof."""
        if self._link is not None or self._decided:
            return
        self._prepared = self._make(transport)
        if self._prepared is not None:
            transport.resume_reading()  # of the verdict

    def _make(self, transport: asyncio.Transport) -> StreamConnection | None:
        try:
            return self._make_link(transport, self._handshake.role)
        except OSError as error:  # the peer is gone already, and with it what the socket could tell
            self._fail(error)
            return None

    def _open(self, transport: asyncio.Transport) -> None:
        if self._prepared is not None:
            transport.pause_reading()
        link = self._prepared or self._make(transport)
        if link is None:
            return
        self._leave()
        self._link = link
        transport.set_protocol(link)
        self._on_open(link)

    def _refuse(self, error: HandshakeError) -> None:
        refusal = self._handshake.refusal if isinstance(self._handshake, ListenerHandshake) else b""
        if not refusal or self._admission is None or self._transport is None:
            self._fail(error)
            return
        self._refused = True
        self._transport.pause_reading()
        loop = asyncio.get_running_loop()
        self._penalty = loop.call_later(self._admission.policy.penalty, self._tell, refusal, error)

    def _tell(self, refusal: bytes, error: HandshakeError) -> None:
        assert self._transport is not None
        self._transport.write(refusal)
        self._transport.close()
        self._fail(error, abort=False)

    def _fail(self, error: Exception, *, abort: bool = True) -> None:
        if self._decided:
            return
        self._leave()
        if abort and self._transport is not None:
            self._transport.abort()
        self._on_failure(error)

    def _leave(self) -> None:
        """It is decided: no timer, no place at the gate."""
        self._decided = True
        for timer in (self._timer, self._penalty):
            if timer is not None:
                timer.cancel()
        self._timer = self._penalty = None
        if self._admission is not None:
            self._admission.leave(self)
