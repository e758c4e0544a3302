"""A link for one thread that asks and waits: it writes buffers from where they are, and reads the answer.

The same handshake and the same frames as on any other link, but no event loop: so what is sent may be the caller's own
memory, uncopied, for the caller cannot change it before the call returns. Whatever goes wrong in the midst of a frame
ends the link: the other side drops what it has of that frame.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

from nbcluster.comm import unix
from nbcluster.comm.addresses import InprocAddress, TcpAddress, UnixAddress, parse
from nbcluster.errors import CommClosedError, CommError, HandshakeError
from nbcluster.protocol.framing import GOODBYE, Decoder, Encoder
from nbcluster.protocol.handshake import ConnectorHandshake
from nbcluster.protocol.payload import Buffer
from nbcluster.protocol.records import Message
from nbcluster.types import Address, Role

PIECE = 4 << 20
"""Bytes that are written at a time: between two pieces a signal is seen."""


class BlockingLink:
    """Connects at once. For one thread at a time.

    Args:
        address: where to; ``tcp://``, ``tls://`` or ``unix://``.
        role: what this side is to the other.
        token: the cluster's token.
        incoming: what may arrive.
        context: for ``tls://``.
        connect_timeout: seconds that the other side has for the handshake.
        timeout: seconds that it may take for any one step: to read a piece, or to answer.

    Raises:
        CommError: nobody there answers, or not as it should.
    """

    def __init__(
        self,
        address: Address,
        *,
        role: Role,
        token: bytes,
        incoming: Any,
        context: ssl.SSLContext | None = None,
        connect_timeout: float = 5.0,
        timeout: float = 30.0,
    ) -> None:
        self.address = address
        self._encoder = Encoder()
        self._decoder = Decoder(incoming)
        self.sent_bytes = 0
        """Bytes that were written, headers and all."""
        try:
            self._socket = _dial(address, context, connect_timeout)
        except (OSError, ValueError) as error:
            raise CommError(f"nobody answers there: {error}", address=address) from error
        try:
            handshake = ConnectorHandshake(role, token)
            reply = handshake.begin()
            while handshake.wanted:
                self._socket.sendall(reply)
                reply = handshake.feed(self._read_exactly(handshake.wanted))
            self._socket.settimeout(timeout)
        except HandshakeError:
            self.abort()
            raise
        except OSError as error:
            self.abort()
            raise CommError(f"the handshake failed: {error}", address=address) from error
        except BaseException:
            self.abort()
            raise

    def __repr__(self) -> str:
        return f"<BlockingLink to {self.address}, {'closed' if self.closed else 'open'}>"

    @property
    def closed(self) -> bool:
        """True if it is of no use any more."""
        return self._socket.fileno() < 0

    def ask(self, message: Message) -> Any:
        """Send a message and wait for the one that answers it; its buffers must not change before this returns.

        Raises:
            CommError: the other side is gone, does not go on, or answers nonsense; the link is closed.
        """
        return self._carefully(message, self._read_message)

    def tell(self, message: Message) -> None:
        """Send a message that is not answered.

        Raises:
            CommError: the other side is gone, or does not go on; the link is closed.
        """
        self._carefully(message, lambda: None)

    def _carefully(self, message: Message, then: Callable[[], Any]) -> Any:
        try:
            self._encoder.add((message,))
            for buffer in self._encoder.take():
                self._write(buffer)
            return then()
        except CommError:
            self.abort()
            raise
        except OSError as error:
            self.abort()
            raise CommClosedError(f"{self.address} went away before it answered ({error})") from error
        except BaseException:  # Ctrl-C too: half a frame
            self.abort()
            raise

    def _write(self, buffer: Buffer) -> None:
        view = memoryview(buffer).cast("B")
        sent, total = 0, view.nbytes
        while sent < total:
            sent += self._socket.send(view[sent : sent + PIECE])
        self.sent_bytes += total

    def _read_message(self) -> Any:
        while True:
            count = self._socket.recv_into(self._decoder.get_buffer())
            if not count:
                raise CommClosedError(f"the link to {self.address} ended before the answer came")
            messages = self._decoder.buffer_updated(count)
            if self._decoder.said_goodbye:
                raise CommClosedError(f"{self.address} was closed before it answered")
            if messages:
                return messages[0]

    def _read_exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            if not more:
                raise CommClosedError(f"{self.address} closed the connection during the handshake")
            data += more
        return data

    def close(self) -> None:
        """Say good-bye, as far as that is possible without waiting. Idempotent."""
        if self.closed:
            return
        try:
            self._socket.settimeout(0)
            self._socket.send(GOODBYE)
        except OSError:
            pass  # it sees the end of the stream all the same
        self.abort()

    def abort(self) -> None:
        """Close at once. Idempotent."""
        self._socket.close()


def _dial(address: Address, context: ssl.SSLContext | None, timeout: float) -> socket.socket:
    where = parse(address)
    if isinstance(where, InprocAddress):
        raise ValueError(f"{address} is a place within one process, which no socket reaches")
    if isinstance(where, UnixAddress):
        return unix.dial_here(where, timeout)
    sock = socket.create_connection((where.host, where.port), timeout)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _encrypted(sock, where, context)
    except BaseException:
        sock.close()
        raise


def _encrypted(sock: socket.socket, where: TcpAddress, context: ssl.SSLContext | None) -> socket.socket:
    if not where.encrypted:
        return sock
    if context is None:
        raise ValueError(f"{where} needs TLS credentials")
    return cast(socket.socket, context.wrap_socket(sock, server_hostname=where.host))
