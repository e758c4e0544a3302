"""The first step of a handshake at a socket file, in the caller's own thread. A loop takes over from there.

    caller's thread   dial, hello ──▶
    loop                             a transport ──▶ challenge ──▶ proof, and what is said first ──▶ verdict ──▶ link

So the listener is awake and at work while the loop's thread is woken and makes what the link needs. Whatever goes wrong
here is left to ``connect``, which tries again and says why.
"""

from __future__ import annotations

import socket

from nbcluster.comm.addresses import UnixAddress, parse
from nbcluster.comm.unix import dial_here
from nbcluster.errors import HandshakeError
from nbcluster.protocol.handshake import ConnectorHandshake
from nbcluster.types import Address, Role

_PATIENCE = 1.0
"""Seconds to wait for a place in the listener's queue; one that is busy for longer is waited for elsewhere."""


class Knocked:
    """A socket on which the first word was said."""

    def __init__(self, sock: socket.socket, handshake: ConnectorHandshake) -> None:
        self.handshake = handshake
        self._socket: socket.socket | None = sock

    def take(self) -> socket.socket:
        """The socket, for whoever goes on with it. Once."""
        sock, self._socket = self._socket, None
        assert sock is not None
        return sock

    def close(self) -> None:
        """Drop it, unless somebody has taken it. Idempotent."""
        if self._socket is not None:
            self._socket.close()


def knock(address: Address, *, role: Role, token: bytes) -> Knocked | None:
    """Begin a handshake. None where that is not possible: it is no socket file, or nobody listens there (yet).

    Args:
        address: of any kind.
        role: what this side is.
        token: the cluster's token.
    """
    where = parse(address)
    if not isinstance(where, UnixAddress):
        return None
    sock = None
    try:
        sock = dial_here(where, _PATIENCE)
        handshake = ConnectorHandshake(role, token)
        sock.sendall(handshake.begin())
        sock.setblocking(False)
        return Knocked(sock, handshake)
    except (OSError, HandshakeError):
        if sock is not None:
            sock.close()
        return None
    except BaseException:
        if sock is not None:
            sock.close()
        raise
