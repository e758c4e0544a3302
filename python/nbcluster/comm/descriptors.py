"""Questions and answers with file descriptors in them, over a Unix socket: the way to a cluster's shared memory.

asyncio's transports carry no descriptors, and whoever asks here (a thread that needs its task's input) has no loop, so
this is a socket of its own kind: one packet is one message, and whoever asks waits. Nobody gets anything here who has
not passed the same handshake as on any other link.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from nbcluster.comm.admission import DEFAULT_POLICY, Admission, HandshakePolicy
from nbcluster.comm.unix import owner_of
from nbcluster.errors import CommClosedError, CommError, HandshakeError, ProtocolError
from nbcluster.protocol.handshake import ConnectorHandshake, ListenerHandshake
from nbcluster.protocol.sharing import DepotReply, DepotRequest, Release
from nbcluster.types import Role

logger = logging.getLogger(__name__)

MAX_PACKET = 64 * 1024
"""Bytes of one message."""

_FD = struct.Struct("i")
_ANCILLARY = socket.CMSG_SPACE(_FD.size)

Session = TypeVar("Session")


class DescriptorServer(Generic[Session]):
    """Answers on the running loop.

    Args:
        path: where the socket is to be; in a directory that only this user can enter.
        token: the cluster's.
        join: makes whatever stands for one asker.
        answer: what to reply, and which descriptor to send (and then close) with it. What it raises as ``ValueError``
            ends the connection.
        leave: an asker is gone.
        policy: how patient to be with strangers.
    """

    def __init__(
        self,
        path: Path,
        token: bytes,
        *,
        join: Callable[[], Session],
        answer: Callable[[Session, DepotRequest, int | None], tuple[DepotReply | None, int | None]],
        leave: Callable[[Session], None],
        policy: HandshakePolicy = DEFAULT_POLICY,
    ) -> None:
        self.path = path
        self._token = token
        self._ports = (join, answer, leave)
        self._admission = Admission(policy)
        self._loop = asyncio.get_running_loop()
        self._connections: set[_Accepted[Session]] = set()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.setblocking(False)
            self._socket.bind(str(path))
            os.chmod(path, 0o600)
            self._socket.listen(128)
        except BaseException:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket, self._accept)

    def __repr__(self) -> str:
        return f"<DescriptorServer {self.path}, {len(self._connections)} connections>"

    def _accept(self) -> None:
        try:
            sock, _ = self._socket.accept()
        except OSError as error:  # nobody there any more, or no descriptor left: the next one may have more luck
            logger.debug("%r could not accept: %s", self, error)
            return
        sock.setblocking(False)
        if owner_of(sock) != os.geteuid():
            sock.close()
            return
        handshake = ListenerHandshake([Role.STORE], self._token)
        self._connections.add(_Accepted(self._loop, sock, handshake, self._ports, self._admission, self._forget))

    def _forget(self, connection: _Accepted[Session]) -> None:
        self._connections.discard(connection)

    def close(self) -> None:
        """Drop everybody. Idempotent."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self.path.unlink(missing_ok=True)
        for connection in list(self._connections):
            connection.abort()


class _Accepted(Generic[Session]):
    """The answering end of one connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        handshake: ListenerHandshake,
        ports: tuple[
            Callable[[], Session],
            Callable[[Session, DepotRequest, int | None], tuple[DepotReply | None, int | None]],
            Callable[[Session], None],
        ],
        admission: Admission,
        forget: Callable[[_Accepted[Session]], None],
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._handshake = handshake
        self._join, self._answer, self._leave = ports
        self._admission = admission
        self._forget = forget
        self._session: Session | None = None
        self._decode = msgspec.msgpack.Decoder(DepotRequest).decode
        self._deadline: asyncio.TimerHandle | None = loop.call_later(admission.policy.deadline, self.abort)
        admission.enter(self)
        loop.add_reader(sock, self._shake_hands)

    def abort(self) -> None:
        """Drop it. Idempotent."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._admitted()
        self._forget(self)
        if self._session is not None:
            self._leave(self._session)

    def _admitted(self) -> None:
        self._admission.leave(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _shake_hands(self) -> None:
        try:
            reply = self._handshake.feed(self._socket.recv(self._handshake.wanted + 1))
            if reply:
                self._socket.send(reply)
        except BlockingIOError:
            return
        except (HandshakeError, OSError) as error:
            logger.debug("turned somebody away: %s", error)
            self._loop.remove_reader(self._socket)
            self._loop.call_later(self._admission.policy.penalty, self._refuse)
            return
        if not self._handshake.wanted:
            self._admitted()
            self._session = self._join()
            self._loop.remove_reader(self._socket)
            self._loop.add_reader(self._socket, self._readable)

    def _refuse(self) -> None:
        if self._handshake.refusal and self._socket.fileno() >= 0:
            with contextlib.suppress(OSError):
                self._socket.send(self._handshake.refusal)
        self.abort()

    def _readable(self) -> None:
        assert self._session is not None
        try:
            packet, fd = _receive(self._socket)
        except BlockingIOError:
            return
        except (OSError, ProtocolError) as error:
            logger.debug("dropped a connection: %s", error)
            self.abort()
            return
        if not packet:
            self.abort()
            return
        try:
            request = self._decode(packet)
        except Exception as error:  # msgspec's own, but also UnicodeDecodeError…
            logger.debug("dropped a connection that sent nonsense: %s", error)
            if fd is not None:
                os.close(fd)
            self.abort()
            return
        try:
            reply, sent = self._answer(self._session, request, fd)
            if reply is not None:
                _send(self._socket, msgspec.msgpack.encode(reply), sent)
        except (ValueError, OSError) as error:
            logger.warning("A connection to the shared memory is dropped: %s", error)
            self.abort()


class DescriptorLink:
    """The asking end. One question at a time; from any thread. It connects when it is first asked something.

    Args:
        path: where the server is.
        token: the cluster's.
        timeout: seconds after which a server that does not answer counts as gone.
    """

    def __init__(self, path: Path, token: bytes, *, timeout: float = 30.0) -> None:
        self._path = path
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._decode = msgspec.msgpack.Decoder(DepotReply).decode
        self._token = token
        self._timeout = timeout
        self._connected: socket.socket | None = None
        self._closed = False
        self._asking = False

    def __repr__(self) -> str:
        return f"<DescriptorLink to {self._path}>"

    def _connect(self) -> socket.socket:
        if self._connected is not None:
            return self._connected
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.settimeout(self._timeout)
            sock.connect(str(self._path))
            if owner_of(sock) != os.geteuid():
                raise HandshakeError("the process at the other end belongs to another user")
            handshake = ConnectorHandshake(Role.STORE, self._token)
            reply = handshake.begin()
            while handshake.wanted:
                sock.send(reply)
                reply = handshake.feed(sock.recv(handshake.wanted + 1))
        except BaseException:
            sock.close()
            raise
        self._connected = sock
        return sock

    def call(self, request: DepotRequest, fd: int | None = None) -> tuple[DepotReply, int | None]:
        """Ask, and wait for the answer. The descriptor is closed; the one in the answer is the caller's.

        Raises:
            CommError: the server is gone, or refuses.
        """
        try:
            with self._lock:
                self._check()
                self._asking = True
                try:
                    sock = self._connect()
                    sent, fd = fd, None
                    _send(sock, msgspec.msgpack.encode(request), sent)
                    packet, received = _receive(sock)
                    if not packet:
                        raise CommClosedError("it closed the connection")
                    return self._decode(packet), received
                except BaseException as error:
                    self.close()  # half a question: whatever comes next would answer the wrong one
                    if isinstance(error, (OSError, msgspec.ValidationError)):
                        raise CommClosedError(f"the shared memory at {self._path} is out of reach: {error}") from error
                    raise
                finally:
                    self._asking = False
        finally:
            if fd is not None:
                os.close(fd)

    def post(self, release: Release) -> bool:
        """Tell, if that is possible without waiting. What is told when the server is gone is of no interest."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._asking:  # this very thread is in `call`, where something has died
                return False
            if self._connected is not None and not self._closed and self._pid == os.getpid():
                self._connected.send(msgspec.msgpack.encode(release), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            return True
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        with self._lock:
            self._closed = True
            if self._connected is not None:
                self._connected.close()

    def _check(self) -> None:
        if self._closed:
            raise CommClosedError("the link to the cluster's shared memory is closed")
        if self._pid != os.getpid():
            raise CommError("a forked process cannot use its parent's link to the cluster; make a new Client()")


def _send(sock: socket.socket, packet: bytes, fd: int | None) -> None:
    """Send one packet; the descriptor that goes with it is closed here."""
    try:
        if fd is None:
            sock.send(packet, socket.MSG_NOSIGNAL)
        else:
            socket.send_fds(sock, [packet], [fd], socket.MSG_NOSIGNAL)
    finally:
        if fd is not None:
            os.close(fd)


def _receive(sock: socket.socket) -> tuple[bytes, int | None]:
    """One packet, and the descriptor that came with it."""
    packet, ancillary, flags, _ = sock.recvmsg(MAX_PACKET, _ANCILLARY, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC) or len(fds) > 1:
        for fd in fds:
            os.close(fd)
        raise ProtocolError("a packet is too large, or there is no room for its descriptor")
    return packet, fds[0] if fds else None
