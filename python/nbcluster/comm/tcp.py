"""``tcp://`` and ``tls://``: how to dial and how to listen. What travels is the business of ``gate`` and ``stream``."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from nbcluster.comm.addresses import TcpAddress
from nbcluster.types import Address


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


async def serve(
    address: TcpAddress,
    factory: Callable[[], asyncio.BaseProtocol],
    context: ssl.SSLContext | None,
    tls_deadline: float,
) -> tuple[asyncio.AbstractServer, TcpAddress]:
    """Listen, and tell where: with the port filled in."""
    loop = asyncio.get_running_loop()
    if address.encrypted:
        server = await loop.create_server(
            factory,
            address.host,
            address.port,
            ssl=context,
            ssl_handshake_timeout=tls_deadline,
            backlog=1024,
        )
    else:
        server = await loop.create_server(factory, address.host, address.port, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    return server, TcpAddress(address.host, port, address.encrypted)


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
