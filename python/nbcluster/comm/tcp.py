"""``tcp://`` and ``tls://``: how to dial and how to listen. What travels is for ``gate`` and ``stream``."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable

from nbcluster.comm.addresses import TcpAddress
from nbcluster.comm.tls import TlsServer
from nbcluster.types import Address

BACKLOG = 1024


async def dial(
    address: TcpAddress, factory: Callable[[], asyncio.BaseProtocol], context: ssl.SSLContext | None
) -> asyncio.Transport:
    """Connect a protocol. Raises ``OSError`` as the operating system gives it."""
    transport, _ = await asyncio.get_running_loop().create_connection(
        factory,
        address.host,
        address.port,
        ssl=context if address.encrypted else None,
        server_hostname=address.host if address.encrypted else None,
    )
    return transport


async def bind(address: TcpAddress) -> socket.socket:
    """Take an address, without listening yet."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # One host may have several addresses. A free port is free on one of them, so one is what we take.
    family, kind, protocol, _, where = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # there it would let anybody else take the port too
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind(where)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen at {address}: {error.strerror}") from error
    return sock


async def serve(
    sock: socket.socket, factory: Callable[[], asyncio.BaseProtocol], tls: TlsServer | None
) -> Callable[[], Awaitable[None]]:
    """Listen on a bound socket; returns what ends it."""
    if tls is not None:
        sock.listen(BACKLOG)
        tls.start(sock, factory)
        return tls.close
    server = await asyncio.get_running_loop().create_server(factory, sock=sock, backlog=BACKLOG)

    async def stop() -> None:
        server.close()

    return stop


def prepare(transport: asyncio.BaseTransport) -> None:
    """Small messages leave at once."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def ends(transport: asyncio.BaseTransport, *, encrypted: bool) -> tuple[Address, Address]:
    """The addresses of both ends."""
    local, peer = (transport.get_extra_info(name) for name in ("sockname", "peername"))
    return _name(local, encrypted), _name(peer, encrypted)


def _name(end: tuple[str, int] | None, encrypted: bool) -> Address:
    # A connection that has broken already has no ends any more.
    return str(TcpAddress(end[0], end[1], encrypted)) if end else "tcp://unknown"
