"""Answers those who ask for file descriptors: see ``descriptors``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from nbcluster.comm.admission import DEFAULT_POLICY, Admission, HandshakePolicy
from nbcluster.comm.descriptors import receive_packet, send_packet
from nbcluster.comm.unix import owner_of, pid_of
from nbcluster.errors import HandshakeError, ProtocolError
from nbcluster.protocol.handshake import ListenerHandshake
from nbcluster.protocol.sharing import DepotReply, DepotRequest
from nbcluster.types import Role

logger = logging.getLogger(__name__)

_PAUSE = 1.0
"""Seconds until a server without descriptors looks again whether it can accept somebody."""

Session = TypeVar("Session")


class DescriptorServer(Generic[Session]):
    """Answers on the running loop.

    Args:
        path: where the socket is to be; in a directory that only this user can enter.
        token: the cluster's.
        join: makes whatever stands for one asker.
        answer: what to reply, and which descriptor to send (and then close) with it. What it raises as ``ValueError``
            ends the connection.
        leave: an asker is gone: its process has ended, or it closed its connection and nothing of it lingers.
        lingers: true if an asker has got what must stay as it is for as long as its process lives.
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
        lingers: Callable[[Session], bool] = lambda session: False,
        policy: HandshakePolicy = DEFAULT_POLICY,
    ) -> None:
        self.path = path
        self._token = token
        self._join, self._answer, self._leave, self._lingers = join, answer, leave, lingers
        self._outliving: dict[int, Session] = {}
        """By descriptor of their process: whose connection has ended before themselves."""
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
        except BlockingIOError:
            return  # nobody there any more
        except OSError as error:  # no descriptor left: they wait
            logger.warning("%r cannot accept just now: %s", self, error)
            self._loop.remove_reader(self._socket)
            self._loop.call_later(_PAUSE, self._accept_again)
            return
        sock.setblocking(False)
        if owner_of(sock) != os.geteuid():
            sock.close()
            return
        handshake = ListenerHandshake([Role.STORE], self._token)
        self._connections.add(_Accepted(self._loop, sock, handshake, self._join, self._answer, self._admission, self))

    def _accept_again(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept)

    def ended(self, connection: _Accepted[Session], session: Session | None, pid: int) -> None:
        """A connection is closed; the process that it came from need not have ended."""
        self._connections.discard(connection)
        if session is None:
            return
        if not self._lingers(session):
            self._leave(session)
            return
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            self._leave(session)
        except OSError as error:  # then nothing of it is let go of before the cluster is
            logger.warning("Process %d has left, and cannot be watched: %s", pid, error)
        else:
            self._outliving[process] = session
            self._loop.add_reader(process, self._process_ended, process)

    def _process_ended(self, process: int) -> None:
        self._leave(self._unwatch(process))

    def _unwatch(self, process: int) -> Session:
        self._loop.remove_reader(process)
        os.close(process)
        return self._outliving.pop(process)

    def close(self) -> None:
        """Drop everybody. Idempotent."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self.path.unlink(missing_ok=True)
        for connection in list(self._connections):
            connection.abort()
        for process in list(self._outliving):
            self._unwatch(process)


class _Accepted(Generic[Session]):
    """The answering end of one connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        handshake: ListenerHandshake,
        join: Callable[[], Session],
        answer: Callable[[Session, DepotRequest, int | None], tuple[DepotReply | None, int | None]],
        admission: Admission,
        server: DescriptorServer[Session],
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._handshake = handshake
        self._join = join
        self._answer = answer
        self._admission = admission
        self._server = server
        self._pid = pid_of(sock)
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
        self._server.ended(self, self._session, self._pid)

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
            packet, fd = receive_packet(self._socket)
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
                send_packet(self._socket, msgspec.msgpack.encode(reply), sent)
        except (ValueError, OSError) as error:
            logger.warning("A connection to the shared memory is dropped: %s", error)
            self.abort()
