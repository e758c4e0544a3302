"""The gate in every stream listener and connector: nothing becomes a link that has not passed the handshake.

    transport ── Gate (handshake, deadline) ──▶ StreamConnection, which takes the transport over

What strangers can do to a listener is bounded by its :class:`Admission`: so many may wait, for so long. When more come
than may wait, the one that has waited longest is dropped: an honest peer is through in a millisecond, so a flood of
silent connections pushes out itself. Who fails learns of it late, and holds one of those places until then; nobody else
is slowed down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from nbcluster.comm.stream import StreamConnection
from nbcluster.errors import CommClosedError, HandshakeError
from nbcluster.protocol.handshake import ConnectorHandshake, ListenerHandshake
from nbcluster.types import Role


@dataclass(frozen=True)
class HandshakePolicy:
    """How patient a listener is with strangers."""

    deadline: float = 5.0
    """Seconds in which a handshake must be done."""
    waiting: int = 256
    """How many may be at it at a time."""
    penalty: float = 1.0
    """Seconds after which a failed one is told so."""


DEFAULT_POLICY = HandshakePolicy()


class Admission:
    """Those who are at a listener's gate, oldest first."""

    def __init__(self, policy: HandshakePolicy) -> None:
        self.policy = policy
        self._waiting: dict[Gate, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, gate: Gate) -> None:
        """Let one more wait, if need be in the place of the one that has waited longest."""
        if len(self._waiting) >= self.policy.waiting:
            next(iter(self._waiting)).abort()
        self._waiting[gate] = None

    def leave(self, gate: Gate) -> None:
        """Called when a gate is passed or closed."""
        self._waiting.pop(gate, None)

    def clear(self) -> None:
        """Send all of them away."""
        for gate in list(self._waiting):
            gate.abort()


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
        deadline: seconds for all of it.
        admission: the listener's; None for a connector.
        check_peer: raises ``HandshakeError`` if the transport's other end may not even try.
    """

    def __init__(
        self,
        handshake: ConnectorHandshake | ListenerHandshake,
        make_link: MakeLink,
        *,
        on_open: Callable[[StreamConnection], None],
        on_failure: Callable[[Exception], None],
        deadline: float,
        admission: Admission | None = None,
        check_peer: Callable[[asyncio.BaseTransport], None] | None = None,
    ) -> None:
        self._handshake = handshake
        self._make_link = make_link
        self._on_open = on_open
        self._on_failure = on_failure
        self._admission = admission
        self._check_peer = check_peer
        self._record = bytearray(handshake.wanted)
        self._filled = 0
        self._link: StreamConnection | None = None
        self._over = False
        self._transport: asyncio.Transport | None = None
        self._deadline = deadline
        self._timer: asyncio.TimerHandle | None = None
        self._penalty: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the transport."""
        self._transport = stream = cast(asyncio.Transport, transport)  # uvloop's are not registered as such
        if self._admission is not None:
            self._admission.enter(self)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(
            self._deadline, self._fail, HandshakeError(f"no handshake in {self._deadline:g} s")
        )
        try:
            if self._check_peer is not None:
                self._check_peer(transport)
        except HandshakeError as error:
            self._fail(error)
            return
        if isinstance(self._handshake, ConnectorHandshake):
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
        if self._filled < len(self._record) or self._over:
            return
        assert self._transport is not None
        try:
            reply = self._handshake.feed(bytes(self._record))
        except HandshakeError as error:
            self._refuse(error)
            return
        if reply:
            self._transport.write(reply)
        if self._handshake.wanted:
            self._record = bytearray(self._handshake.wanted)
            self._filled = 0
        else:
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

    def _open(self, transport: asyncio.Transport) -> None:
        self._leave()
        self._link = self._make_link(transport, self._handshake.role)
        transport.set_protocol(self._link)
        self._on_open(self._link)

    def _refuse(self, error: HandshakeError) -> None:
        refusal = self._handshake.refusal if isinstance(self._handshake, ListenerHandshake) else b""
        if not refusal or self._admission is None or self._transport is None:
            self._fail(error)
            return
        self._over = True
        self._transport.pause_reading()
        loop = asyncio.get_running_loop()
        self._penalty = loop.call_later(self._admission.policy.penalty, self._tell, refusal, error)

    def _tell(self, refusal: bytes, error: HandshakeError) -> None:
        assert self._transport is not None
        self._transport.write(refusal)
        self._transport.close()
        self._fail(error, abort=False)

    def _fail(self, error: Exception, *, abort: bool = True) -> None:
        if self._link is not None or self._timer is None:
            return
        self._leave()
        self._over = True
        if abort and self._transport is not None:
            self._transport.abort()
        self._on_failure(error)

    def _leave(self) -> None:
        """No timer, no place at the gate: it is decided."""
        for timer in (self._timer, self._penalty):
            if timer is not None:
                timer.cancel()
        self._timer = self._penalty = None
        if self._admission is not None:
            self._admission.leave(self)
