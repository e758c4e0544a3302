"""``inproc://``: both ends in one process, on one event loop or on two. Messages are handed over as they are.

    send() ── list ── end of the loop's turn ──▶ call_soon_threadsafe of the other loop ──▶ receiver.received()
                                            └──▶ if it is the same loop, at once ────────┘

Nothing is encoded and nothing is copied; a whole batch costs one wake-up of the other loop.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import itertools
import os
import threading
from collections.abc import Callable, Collection
from typing import Any

from nbcluster.comm.addresses import InprocAddress
from nbcluster.comm.base import Connection, Listener, OnConnection, Receiver
from nbcluster.comm.setups import SetUps
from nbcluster.errors import CommClosedError, HandshakeError
from nbcluster.protocol.records import Message
from nbcluster.types import Address, Role

NOMINAL = 256
"""What a message counts in ``pending_bytes``, where nothing is encoded: about what a small one takes on a wire."""

HIGH_WATER = 1 << 20
"""Pending bytes, counted like that, above which ``drain`` waits."""

_listeners: dict[str, InprocListener] = {}
_lock = threading.Lock()
_numbers = itertools.count(1)


class InprocConnection(Connection):
    """One end. Its state belongs to its own loop; the other end acts on it only by calling it there.

    The one exception is ``_taken``: written by this end, and read by the other as a mere number.
    """

    in_process = True
    same_host = True

    def __init__(self, role: Role, loop: asyncio.AbstractEventLoop, local: Address, peer: Address) -> None:
        self.role = role
        self.local_address = local
        self.peer_address = peer
        self._loop = loop
        self._peer = self
        self._receiver: Receiver | None = None
        self._delivering = False
        self._early: list[Any] = []
        self._out: list[Message] = []
        self._flush_due = False
        self._sent = self._taken = 0
        self._coming = 0
        """Batches that are on their way through this loop: none may overtake them."""
        self._closed = self._deaf = self._over = False
        self._error: Exception | None = None
        self._gone = asyncio.Event()
        self._drained: list[asyncio.Event] = []
        self._asked: list[asyncio.Event] = []

    @classmethod
    def pair(
        cls, role: Role, here: asyncio.AbstractEventLoop, there: asyncio.AbstractEventLoop, address: Address
    ) -> tuple[InprocConnection, InprocConnection]:
        """Both ends of a link: the connector's, on loop ``here``, and the listener's, on loop ``there``."""
        name = f"inproc://{os.getpid()}-{next(_numbers)}"
        connector, listener = cls(role, here, name, address), cls(role, there, address, name)
        connector._peer, listener._peer = listener, connector
        return connector, listener

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{self.role} link {self.local_address} to {self.peer_address}, {state}>"

    # --- sending ---------------------------------------------------------------------------------

    def send(self, *messages: Message) -> None:
        """Queue messages; they leave together at the end of this loop turn."""
        if self._closed:
            raise CommClosedError(f"the link to {self.peer_address} is closed")
        self._out += messages
        self._sent += len(messages)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._end_turn)

    def send_now(self, *messages: Message) -> None:
        """Send messages after those that are queued, at once."""
        if self._closed:
            raise CommClosedError(f"the link to {self.peer_address} is closed")
        self._out += messages
        self._sent += len(messages)
        self._deliver()

    def _end_turn(self) -> None:
        self._flush_due = False
        self._deliver()

    def _deliver(self) -> None:
        peer = self._peer
        if peer._loop is not self._loop or peer._coming:
            self._flush()
        elif self._out:  # nobody is in the midst of anything: it need not wait for one turn more
            out, self._out = self._out, []
            peer._take(out)

    def _flush(self) -> None:
        if self._out:
            out, self._out = self._out, []
            if self._peer._loop is self._loop:
                self._peer._coming += 1
            self._call_peer(self._peer._take_later, out)

    def _call_peer(self, function: Callable[..., None], *args: Any) -> None:
        """Run a method of the other end on its loop, after all that was asked of it before."""
        loop = self._peer._loop
        if loop is self._loop:
            loop.call_soon(function, *args)
            return
        try:
            loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # that loop is closed, and with it the other end
            self._end(CommClosedError(f"the event loop of {self.peer_address} is closed"))

    @property
    def pending_bytes(self) -> int:
        """``NOMINAL`` bytes for each message that the other side has not taken yet."""
        return 0 if self._over else NOMINAL * (self._sent - self._peer._taken)

    async def drain(self) -> None:
        """Wait until little is pending.

        Raises:
            CommClosedError: the link is closed, or was lost while waiting.
        """
        self._flush()
        if self.pending_bytes > HIGH_WATER and not self._closed:
            taken = asyncio.Event()
            self._drained.append(taken)
            self._call_peer(self._peer._tell_when_taken, taken)
            await taken.wait()
            self._drained.remove(taken)
        if self._closed:
            raise CommClosedError(f"the link to {self.peer_address} is closed")

    # --- receiving -------------------------------------------------------------------------------

    def start(self, receiver: Receiver) -> None:
        """Begin to deliver. What arrived before waits until then."""
        if self._receiver is not None:
            raise RuntimeError(f"{self!r} has been started already")
        self._receiver = receiver
        self._loop.call_soon(self._start_delivery)

    def _start_delivery(self) -> None:
        self._delivering = True
        early, self._early = self._early, []
        if early:
            self._take(early)
        for taken in self._asked:
            self._call_peer(taken.set)
        self._asked = []
        if self._over and self._receiver is not None:
            self._receiver.lost(self._error)

    def _take_later(self, messages: list[Message]) -> None:
        self._coming = max(0, self._coming - 1)
        self._take(messages)

    def _take(self, messages: list[Message]) -> None:
        """The other end sends these."""
        if self._receiver is None or not self._delivering:
            self._early += messages
            return
        self._taken += len(messages)
        if self._deaf:
            return
        try:
            self._receiver.received(messages)
        except Exception as error:
            self._loop.call_exception_handler({"message": f"{self!r} is dropped", "exception": error})
            self._error = error
            self.abort()

    def _tell_when_taken(self, taken: asyncio.Event) -> None:
        """The other end waits until all that it sent before is taken."""
        if self._delivering:
            self._call_peer(taken.set)
        else:
            self._asked.append(taken)

    # --- the end ---------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """True from the moment at which ``send`` would fail."""
        return self._closed

    async def close(self) -> None:
        """Flush, close and wait until closed. Idempotent."""
        if not self._closed:
            self._flush()
            self._leave(None)
        self._deaf = True
        await self._gone.wait()

    def abort(self) -> None:
        """Close at once; what is pending is lost. Idempotent."""
        self._deaf = True
        if not self._closed:
            self._out = []
            self._leave(CommClosedError(f"{self.local_address} dropped the link"))

    def _leave(self, error_there: Exception | None) -> None:
        self._closed = True
        self._call_peer(self._peer._end, error_there)
        self._loop.call_soon(self._end, None)

    def _end(self, error: Exception | None) -> None:
        if self._over:
            return
        self._closed = self._over = True
        self._error = self._error or error
        self._gone.set()
        for taken in self._drained:
            taken.set()
        if self._delivering and self._receiver is not None:
            self._receiver.lost(self._error)


class InprocListener(Listener):
    """A name in this process that connectors find."""

    def __init__(self, name: str, *, token: bytes, roles: Collection[Role], on_connection: OnConnection) -> None:
        self._name = name
        self.address = str(InprocAddress(name))
        self._token = token
        self._roles = roles
        self._on_connection = on_connection
        self._loop = asyncio.get_running_loop()
        self._set_ups = SetUps()

    def accept(self, role: Role, token: bytes) -> InprocConnection:
        """Make a link; called on the connector's loop, and returns the connector's end.

        Raises:
            HandshakeError: this role or this token is not let in.
            OSError: nobody listens any more.
        """
        if role not in self._roles:
            raise HandshakeError(f"what listens there does not talk to a {role}")
        if not hmac.compare_digest(token, self._token):
            raise HandshakeError("the token was refused")
        connector, listener = InprocConnection.pair(role, asyncio.get_running_loop(), self._loop, self.address)
        try:
            self._loop.call_soon_threadsafe(self._set_ups.run, self._on_connection, listener)
        except RuntimeError as error:
            raise ConnectionRefusedError("the listener's event loop is closed") from error
        return connector

    async def close(self) -> None:
        """Stop accepting; links that exist stay. Idempotent."""
        with _lock:
            if _listeners.get(self._name) is self:
                del _listeners[self._name]
        await self._set_ups.cancel()


def dial(address: InprocAddress, role: Role, token: bytes) -> InprocConnection:
    """Connect. Raises as :meth:`InprocListener.accept`, or ``OSError`` if nobody listens by that name."""
    with _lock:
        listener = _listeners.get(address.name)
    if listener is None:
        raise ConnectionRefusedError(f"nobody in this process listens on {address}")
    return listener.accept(role, token)


def serve(
    address: InprocAddress, *, token: bytes, roles: Collection[Role], on_connection: OnConnection
) -> InprocListener:
    """Listen under a name, or under a free one if it is empty."""
    with _lock:
        name = address.name or f"{os.getpid()}-{next(_numbers)}"
        if name in _listeners:
            raise OSError(errno.EADDRINUSE, f"somebody in this process listens on inproc://{name} already")
        listener = InprocListener(name, token=token, roles=roles, on_connection=on_connection)
        _listeners[name] = listener
    return listener
