"""The two functions that everybody uses: :func:`connect` and :func:`listen`, for all kinds of address."""

from __future__ import annotations

import asyncio
import logging
import ssl as tls
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbcluster.comm import inproc, tcp, unix
from nbcluster.comm.addresses import AnyAddress, InprocAddress, TcpAddress, UnixAddress, parse
from nbcluster.comm.admission import DEFAULT_POLICY, Admission, HandshakePolicy
from nbcluster.comm.base import Connection, Listener, OnConnection
from nbcluster.comm.gate import Gate
from nbcluster.comm.setups import SetUps
from nbcluster.comm.stream import StreamConnection
from nbcluster.comm.tls import TlsServer
from nbcluster.deadlines import within
from nbcluster.errors import CommError, HandshakeError
from nbcluster.protocol.framing import DEFAULT_LIMITS, Limits, encoded
from nbcluster.protocol.handshake import ConnectorHandshake, ListenerHandshake
from nbcluster.protocol.records import Message
from nbcluster.types import Address, Role

if TYPE_CHECKING:
    from nbcluster.comm.knocking import Knocked

_log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.25


async def connect(
    address: Address,
    *,
    role: Role,
    token: bytes,
    incoming: Any,
    timeout: float,
    retry: bool = True,
    ssl: tls.SSLContext | None = None,
    limits: Limits = DEFAULT_LIMITS,
    opening: Sequence[Message] = (),
    knocked: Knocked | None = None,
) -> Connection:
    """Make a link to what listens at an address; while nobody does, try again.

    Args:
        address: ``tcp://``, ``tls://``, ``unix://`` or ``inproc://``.
        role: what this side is.
        token: the cluster's token.
        incoming: what the other side may send: a ``Message`` class, or a union of them.
        timeout: seconds after which to give up.
        retry: False if it listened before its address was known: when nobody does, it is gone.
        ssl: needed for ``tls://``, refused for ``tcp://``, of no effect elsewhere.
        limits: what a frame may be.
        opening: what to say first. It travels with the proof of this side, which spares a way there and back.
        knocked: the first step of the handshake at that address, if it is done already.

    Returns:
        The link; call ``start`` on it.

    Raises:
        HandshakeError: something listens, and it is not what was meant, or refuses.
        CommError: nobody answered.
        ValueError: the address is none.
    """
    parsed = parse(address)
    _check_context(parsed, ssl)
    loop = asyncio.get_running_loop()
    give_up = loop.time() + timeout
    pause = _FIRST_PAUSE
    said = encoded(opening, limits)
    while True:
        remaining = max(give_up - loop.time(), 0.001)
        try:
            if isinstance(parsed, InprocAddress):
                link = inproc.dial(parsed, role, token)
                if opening:
                    link.send(*opening)
                return link
            dialling = _dial(parsed, role, token, incoming, ssl, limits, said, knocked)
            return await within(dialling, remaining, StreamConnection.abort)
        except HandshakeError as error:
            raise HandshakeError(f"cannot connect to {parsed}: {error}") from error
        except tls.SSLError as error:
            raise HandshakeError(f"cannot connect to {parsed}: TLS failed: {error}") from error
        except (OSError, asyncio.TimeoutError) as error:
            if isinstance(error, PermissionError) or not retry or loop.time() + pause >= give_up:
                raise CommError(_nobody(parsed, timeout, error), address=address) from error
        knocked = None
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _nobody(address: AnyAddress, timeout: float, error: Exception) -> str:
    check = {
        TcpAddress: "is the cluster running, and are host and port right?",
        UnixAddress: "is the cluster running? Its socket is there only as long as it is",
        InprocAddress: "is the cluster running, in this very process?",
    }[type(address)]
    return f"nobody answered at {address} for {timeout:g} s ({str(error) or 'timed out'}): {check}"


def _check_context(address: AnyAddress, context: tls.SSLContext | None) -> None:
    if not isinstance(address, TcpAddress):
        return
    if address.encrypted and context is None:
        raise ValueError(f"{address} needs TLS credentials: pass a Security object with a certificate")
    if context is not None and not address.encrypted:
        raise ValueError(f"TLS credentials are given, but {address} would not be encrypted: use tls://")


async def _dial(
    address: TcpAddress | UnixAddress,
    role: Role,
    token: bytes,
    incoming: Any,
    context: tls.SSLContext | None,
    limits: Limits,
    opening: bytes,
    knocked: Knocked | None,
) -> StreamConnection:
    opened: asyncio.Future[StreamConnection] = asyncio.get_running_loop().create_future()

    def fail(error: Exception) -> None:
        if not opened.done():
            opened.set_exception(error)

    def succeed(link: StreamConnection) -> None:
        if opened.done():
            link.abort()
        else:
            opened.set_result(link)

    gate = Gate(
        ConnectorHandshake(role, token) if knocked is None else knocked.handshake,
        _LinkMaker(address, incoming, limits, dialled=True),
        on_open=succeed,
        on_failure=fail,
        opening=opening,
        check_peer=unix.check_peer if isinstance(address, UnixAddress) else None,
    )
    transport: asyncio.Transport | None = None
    try:
        if knocked is not None:
            transport = await unix.adopt(knocked.take(), lambda: gate)
        elif isinstance(address, UnixAddress):
            transport = await unix.dial(address, lambda: gate)
        else:
            transport = await tcp.dial(address, lambda: gate, context)
        return await opened
    except BaseException:
        if not opened.cancel() and not opened.cancelled():
            opened.exception()  # seen, though the failure to dial is what counts
        if transport is not None:
            transport.abort()
        raise


class _LinkMaker:
    """Makes a link of a transport that has passed the gate."""

    def __init__(self, address: TcpAddress | UnixAddress, incoming: Any, limits: Limits, *, dialled: bool) -> None:
        self._address = address
        self._dialled = dialled
        self._incoming = incoming
        self._limits = limits

    def __call__(self, transport: asyncio.Transport, role: Role) -> StreamConnection:
        if isinstance(self._address, UnixAddress):
            local, peer = unix.ends(transport, self._address.path, dialled=self._dialled)
        else:
            tcp.prepare(transport)
            local, peer = tcp.ends(transport, encrypted=self._address.encrypted)
        return StreamConnection(
            transport,
            role=role,
            local_address=local,
            peer_address=peer,
            incoming=self._incoming,
            limits=self._limits,
        )


async def listen(
    address: Address,
    *,
    token: bytes,
    incoming: Mapping[Role, Any],
    on_connection: OnConnection,
    ssl: tls.SSLContext | None = None,
    limits: Limits = DEFAULT_LIMITS,
    policy: HandshakePolicy = DEFAULT_POLICY,
) -> Listener:
    """Accept links at an address.

    Args:
        address: ``tcp://host:0`` takes any free port, ``inproc://`` any free name.
        token: the cluster's token.
        incoming: who may connect, and what each role may send.
        on_connection: called with each new link. It must call ``start`` on it; what it awaits is set-up, and is
            cancelled when the listener closes.
        ssl: needed for ``tls://``, refused for ``tcp://``, of no effect elsewhere.
        limits: what a frame may be.
        policy: how patient to be with strangers.

    Raises:
        OSError: the address is taken, or not to be had.
        ValueError: the address is none.
    """
    parsed = parse(address)
    _check_context(parsed, ssl)
    ListenerHandshake(incoming, token)  # refuses a token that is too short, before anything listens
    if isinstance(parsed, InprocAddress):
        return inproc.serve(parsed, token=token, roles=frozenset(incoming), on_connection=on_connection)
    listener = _StreamListener(parsed, token, incoming, on_connection, limits, policy)
    await listener.open(ssl)
    return listener


class _StreamListener(Listener):
    """Accepts on a socket, and sends everybody through a gate."""

    def __init__(
        self,
        address: TcpAddress | UnixAddress,
        token: bytes,
        incoming: Mapping[Role, Any],
        on_connection: OnConnection,
        limits: Limits,
        policy: HandshakePolicy,
    ) -> None:
        self._where = address
        self._token = token
        self._incoming = incoming
        self._on_connection = on_connection
        self._limits = limits
        self._admission = Admission(policy)
        self._set_ups = SetUps()
        self._stop: Callable[[], Awaitable[None]] | None = None

    async def open(self, context: tls.SSLContext | None) -> None:
        """Begin to accept."""
        if isinstance(self._where, UnixAddress):
            self._stop = await unix.serve(self._where, self._make_gate)
        else:
            sock = await tcp.bind(self._where)
            port = sock.getsockname()[1]
            self._where = TcpAddress(self._where.host, port, self._where.encrypted)
            tls_server = TlsServer(context, self._admission) if context is not None else None
            self._stop = await tcp.serve(sock, self._make_gate, tls_server)
        self.address = str(self._where)

    def _make_gate(self) -> Gate:
        return Gate(
            ListenerHandshake(self._incoming, self._token),
            self._make_link,
            on_open=self._opened,
            on_failure=self._failed,
            admission=self._admission,
            check_peer=unix.check_peer if isinstance(self._where, UnixAddress) else None,
        )

    def _make_link(self, transport: asyncio.Transport, role: Role) -> StreamConnection:
        make = _LinkMaker(self._where, self._incoming[role], self._limits, dialled=False)
        return make(transport, role)

    def _opened(self, link: StreamConnection) -> None:
        self._set_ups.run(self._on_connection, link)

    def _failed(self, error: Exception) -> None:
        _log.debug("%s turned somebody away: %s", self.address, error)

    async def close(self) -> None:
        """Stop accepting; links that exist stay. Idempotent."""
        if self._stop is None:
            return
        stop, self._stop = self._stop, None
        await stop()
        self._admission.clear()
        await self._set_ups.cancel()
