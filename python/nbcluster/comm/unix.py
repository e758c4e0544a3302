"""``unix://``: how to dial and how to listen on a socket file. The kernel says whose process is at the other end."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from nbcluster.comm.addresses import UnixAddress
from nbcluster.errors import HandshakeError
from nbcluster.types import Address

MAX_PATH = 107 if sys.platform == "linux" else 103
"""Bytes that a socket's path may have: the kernel's limit."""

_UCRED = struct.Struct("3i")


async def dial(address: UnixAddress, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.Transport:
    """Connect a protocol. Raises ``OSError`` as the operating system gives it."""
    path = _checked(address.path)
    transport, _ = await asyncio.get_running_loop().create_unix_connection(factory, path)
    return transport


async def adopt(sock: socket.socket, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.Transport:
    """The same with a socket that is connected already, and does not block; from now on it is the transport's."""
    try:
        transport, _ = await asyncio.get_running_loop().create_unix_connection(factory, sock=sock)
    except BaseException:
        sock.close()
        raise
    return transport


def dial_here(address: UnixAddress, timeout: float) -> socket.socket:
    """Connect in this thread. ``timeout`` is in seconds, and that of the socket.

    Raises:
        HandshakeError: the process at the other end is of another user.
        OSError: nobody listens there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(_checked(address.path))
        _check_owner(sock)
    except BaseException:
        sock.close()
        raise
    return sock


async def serve(address: UnixAddress, factory: Callable[[], asyncio.BaseProtocol]) -> Callable[[], Awaitable[None]]:
    """Listen; the socket file is for this user only. Returns what ends it, and removes the file."""
    path = _checked(address.path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Bound but not yet listening, nobody can connect before the mode is right.
        sock.bind(path)
        os.chmod(path, 0o600)
        server = await asyncio.get_running_loop().create_unix_server(factory, sock=sock, backlog=1024)
    except BaseException:
        sock.close()
        raise

    async def stop() -> None:
        server.close()
        address.path.unlink(missing_ok=True)

    return stop


def check_peer(transport: asyncio.BaseTransport) -> None:
    """See that the process at the other end is of this user.

    Raises:
        HandshakeError: it is not.
    """
    if sys.platform == "linux":
        _check_owner(transport.get_extra_info("socket"))


def _check_owner(sock: socket.socket) -> None:
    if sys.platform == "linux":
        uid = owner_of(sock)
        if uid != os.geteuid():
            raise HandshakeError(f"the process at the other end belongs to another user (uid {uid})", uid=uid)


def ends(transport: asyncio.BaseTransport, path: Path, *, dialled: bool) -> tuple[Address, Address]:
    """The addresses of both ends; a connector has no name of its own, so it goes by its process."""
    there = f"unix://{path}"
    if dialled:
        return f"unix://pid-{os.getpid()}", there
    pid = pid_of(transport.get_extra_info("socket")) if sys.platform == "linux" else 0
    return there, f"unix://pid-{pid}"


def owner_of(sock: socket.socket) -> int:
    """The user whose process is at the other end."""
    _, uid, _ = _credentials(sock)
    return uid


def pid_of(sock: socket.socket) -> int:
    """The process that connected to a socket."""
    pid, _, _ = _credentials(sock)
    return pid


def _credentials(sock: socket.socket) -> tuple[int, int, int]:
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return pid, uid, gid


def _checked(path: Path) -> str:
    if len(os.fsencode(path)) > MAX_PATH:
        raise ValueError(f"{str(path)!r} is longer than the {MAX_PATH} bytes that a socket's path may have")
    return str(path)
