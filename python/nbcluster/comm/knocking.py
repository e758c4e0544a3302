"""The first half of a handshake at a socket file, in the caller's own thread. A loop takes over from there.

    caller's thread   hello ──▶ challenge ──▶ proof, and what is said first
                                                   │
    loop                                           └──▶ a transport ──▶ verdict ──▶ link

To wait for the challenge right here spares waking the loop's thread for it, and while the listener looks at the proof
the loop makes what the link needs. Whatever goes wrong here is left to ``connect``, which tries again and says why.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from nbcluster.comm.addresses import UnixAddress, parse
from nbcluster.comm.unix import dial_here
from nbcluster.errors import HandshakeError
from nbcluster.protocol.framing import encoded
from nbcluster.protocol.handshake import ConnectorHandshake
from nbcluster.protocol.records import Message
from nbcluster.types import Address, Role

_PATIENCE = 1.0
"""Seconds for each step; a listener that is busy for longer is waited for elsewhere."""


class Knocked:
    """A socket on which everything was said but the verdict."""

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


def knock(address: Address, *, role: Role, token: bytes, opening: Sequence[Message] = ()) -> Knocked | None:
    """Begin a handshake. None where that is not possible: it is no socket file, or nobody answers there (yet).

    Args:
        address: of any kind.
        role: what this side is.
        token: the cluster's token.
        opening: what to say first; it travels with the proof.
    """
    where = parse(address)
    if not isinstance(where, UnixAddress):
        return None
    sock = None
    try:
        sock = dial_here(where, _PATIENCE)
        handshake = ConnectorHandshake(role, token)
        sock.sendall(handshake.begin())
        said = encoded(opening)  # while the listener thinks
        sock.sendall(handshake.feed(_exactly(sock, handshake.wanted)) + said)
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


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = sock.recv(count, socket.MSG_WAITALL)
    if len(data) < count:
        raise HandshakeError("the connection was closed during the handshake")
    return data
