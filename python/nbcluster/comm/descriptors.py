"""Sockets that carry file descriptors: a process's way to a cluster's shared memory.

asyncio's transports carry no descriptors, and whoever asks here (a thread that needs its task's input) has no loop, so
this is a socket of its own kind: one packet is one message, and whoever asks waits. Nobody gets anything here who has
not passed the same handshake as on any other link. The answering end is in ``descriptor_server``.
"""

from __future__ import annotations

import array
import os
import socket
import threading
from collections import deque
from pathlib import Path

import msgspec

from nbcluster.comm.unix import owner_of
from nbcluster.errors import CommClosedError, CommError, HandshakeError, ProtocolError
from nbcluster.protocol.handshake import ConnectorHandshake
from nbcluster.protocol.sharing import BlobId, DepotReply, DepotRequest, Release, SegmentId
from nbcluster.types import Role

MAX_PACKET = 64 * 1024
"""Bytes of one message."""

RELEASES = 1000
"""Blobs in one message."""


class DescriptorLink:
    """The asking end. One question at a time; from any thread. It connects when it is first asked something.

    A question has no time limit: who is asked either answers or is gone. If a connection comes to a bad end, the next
    question makes a new one, and on that this process is a stranger: see ``connections``.

    Args:
        path: where the server is.
        token: the cluster's.
        timeout: seconds that connecting may take.
    """

    def __init__(self, path: Path, token: bytes, *, timeout: float = 30.0) -> None:
        self.connections = 0
        """How many connections it has made. What was given over an earlier one is not known on the present one."""
        self._path = path
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._decode = msgspec.msgpack.Decoder(DepotReply).decode
        self._token = token
        self._timeout = timeout
        self._connected: socket.socket | None = None
        self._released: deque[tuple[BlobId, bool]] = deque()
        self._done: deque[SegmentId] = deque()
        self._congested = False
        """There was no room for what is let go of."""
        self._closed = False
        self._asking = False

    def __repr__(self) -> str:
        return f"<DescriptorLink to {self._path}>"

    # --- questions ---

    def call(self, request: DepotRequest, fd: int | None = None) -> tuple[DepotReply, int | None]:
        """Ask, and wait for the answer. The descriptor is closed; the one in the answer is the caller's.

        An answer may lack its descriptor: this process has too many open.

        Raises:
            CommError: the server is gone, or refuses.
        """
        try:
            self._check()
            with self._lock:
                if self._asking:
                    raise CommError("a question to the shared memory was asked in the midst of another one")
                self._asking = True
                try:
                    sock = self._connect()
                    sent, fd = fd, None
                    return self._exchange(sock, request, sent)
                except OSError as error:
                    if isinstance(error, CommError):
                        raise
                    raise CommClosedError(f"the shared memory at {self._path} is out of reach: {error}") from error
                finally:
                    self._asking = False
        finally:
            if fd is not None:
                os.close(fd)
            if self._closed:
                self.close()
            else:
                self.flush()

    def _exchange(self, sock: socket.socket, request: DepotRequest, fd: int | None) -> tuple[DepotReply, int | None]:
        try:
            self._send_released(sock)
            send_packet(sock, msgspec.msgpack.encode(request), fd)
            packet, received = receive_packet(sock)
            if not packet:
                raise CommClosedError(f"the shared memory at {self._path} was closed")
            try:
                return self._decode(packet), received
            except msgspec.MsgspecError as error:
                if received is not None:
                    os.close(received)
                raise ProtocolError(f"the shared memory at {self._path} answers nonsense: {error}") from error
        except BaseException:  # Ctrl-C too: half a question; whatever came next would answer the wrong one
            self._drop()
            raise

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
                sock.send(reply, socket.MSG_NOSIGNAL)
                reply = handshake.feed(sock.recv(handshake.wanted + 1))
            sock.settimeout(None)
        except BaseException:
            sock.close()
            raise
        self._released.clear()  # what was held was held over another connection
        self._done.clear()
        self._connected = sock
        self.connections += 1
        return sock

    def _check(self) -> None:
        if self._pid != os.getpid():
            raise CommError("a forked process cannot use its parent's link to the cluster; make a new Client()")
        if self._closed:
            raise CommClosedError("the link to the cluster's shared memory is closed")

    # --- what is let go of ---

    def release(self, blob: BlobId, untold: bool) -> None:
        """Tell that a blob is not held any more, as soon as that is possible without waiting; see ``Release``."""
        self._released.append((blob, untold))
        if not self._congested or len(self._released) % RELEASES == 0:
            self.flush()

    def done(self, numbers: list[SegmentId]) -> None:
        """Tell that nothing more comes into these segments, in the same way."""
        self._done.extend(numbers)
        self.flush()

    def flush(self) -> None:
        """Tell what could not be told before. Never waits. Who has the lock flushes after giving it back."""
        while (self._released or self._done) and self._pid == os.getpid() and self._lock.acquire(blocking=False):
            try:
                sock = self._connected
                if self._asking:  # this very thread is in `call`, where something has died
                    return
                if sock is None:
                    self._released.clear()
                    self._done.clear()
                elif not self._send_released(sock, socket.MSG_DONTWAIT):
                    return
            finally:
                self._lock.release()

    def _send_released(self, sock: socket.socket, flags: int = 0) -> bool:
        """False if there is no room just now. What is told when the server is gone is of no interest."""
        released, done = self._released, self._done
        while released or done:
            batch = [released.popleft() for _ in range(min(len(released), RELEASES))]
            closed = [done.popleft() for _ in range(min(len(done), RELEASES))]
            message = Release([blob for blob, _ in batch], [blob for blob, untold in batch if untold], closed)
            try:
                sock.send(msgspec.msgpack.encode(message), flags | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                released.extendleft(reversed(batch))
                done.extendleft(reversed(closed))
                self._congested = True
                return False
            except OSError:
                return True
        self._congested = False
        return True

    # --- the end ---

    def close(self) -> None:
        """Close the connection, at the latest when the question under way is answered. Never waits. Idempotent."""
        self._closed = True
        if self._pid == os.getpid() and self._lock.acquire(blocking=False):
            try:
                if not self._asking:
                    if self._connected is not None:
                        self._send_released(self._connected, socket.MSG_DONTWAIT)
                    self._drop()
            finally:
                self._lock.release()

    def _drop(self) -> None:
        if self._connected is not None:
            self._connected.close()
            self._connected = None


def send_packet(sock: socket.socket, packet: bytes, fd: int | None) -> None:
    """Send one packet; the descriptor that goes with it is closed here."""
    try:
        if fd is None:
            sock.send(packet, socket.MSG_NOSIGNAL)
        else:
            socket.send_fds(sock, [packet], [fd], socket.MSG_NOSIGNAL)
    finally:
        if fd is not None:
            os.close(fd)


def receive_packet(sock: socket.socket) -> tuple[bytes, int | None]:
    """One packet, and the descriptor that came with it, if there was room for it here."""
    fds = array.array("i")
    packet, ancillary, flags, _ = sock.recvmsg(
        MAX_PACKET, socket.CMSG_SPACE(fds.itemsize), getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    )
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    if flags & socket.MSG_TRUNC or len(fds) > 1:
        for fd in fds:
            os.close(fd)
        raise ProtocolError("a packet is too large, or has more than one descriptor")
    return packet, fds[0] if fds else None
