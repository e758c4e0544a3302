"""How a supervisor and its zygote talk: typed messages with file descriptors, over a socket of their own.

    4 bytes length, 1 byte number of descriptors, a msgpack map

The descriptors travel with the first byte of their message, in order, so each message takes as many as it
announced from those that have arrived.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

_HEADER = struct.Struct(">IB")
_READ = 1 << 16
_MOST_DESCRIPTORS = 16


class Message(msgspec.Struct, frozen=True, tag=True):
    """What travels between a supervisor and its zygote."""


class Prepare(Message, frozen=True):
    """To the zygote, first of all: import what workers need."""

    cwd: str
    sys_path: list[str] | None
    environ: dict[str, str]
    worker: str
    """The module of the worker: it has ``WorkerConfig`` and ``run(config, token)``."""


class Spawn(Message, frozen=True):
    """To the zygote: fork a worker. Descriptors: its stdout, its stderr, its flight recorder."""

    id: int
    name: str
    mark: str
    config: bytes
    """A ``WorkerConfig``, in msgpack."""
    token: bytes


class Signal(Message, frozen=True):
    """To the zygote: send this signal to a worker. To one that is gone: nothing."""

    id: int
    signal: int


class Kill(Message, frozen=True):
    """To the zygote: end a worker and all that descends from it, at once."""

    id: int


class Ready(Message, frozen=True):
    """To the supervisor: everything is imported."""


class Failed(Message, frozen=True):
    """To the supervisor: it could not be imported, or a worker could not be forked (``id``)."""

    text: str
    id: int | None = None


class Spawned(Message, frozen=True):
    """To the supervisor: the worker has this process id."""

    id: int
    pid: int


class Exited(Message, frozen=True):
    """To the supervisor: the worker is gone, and so is all that descended from it."""

    id: int
    code: int
    """The exit code, or minus the number of the signal."""
    max_rss: int
    """The most memory that it had, in bytes."""


ToZygote = Prepare | Spawn | Signal | Kill
ToSupervisor = Ready | Failed | Spawned | Exited

Received = tuple[Any, list[int]]
"""A message and its descriptors, which now belong to whoever received them."""


class Channel:
    """One end of the socket. Works on blocking and on non-blocking sockets.

    Args:
        sock: a connected Unix stream socket; the channel owns it.
        incoming: the type of what arrives.
    """

    def __init__(self, sock: socket.socket, incoming: Any) -> None:
        self.sock = sock
        self._decoder = msgspec.msgpack.Decoder(incoming)
        self._encoder = msgspec.msgpack.Encoder()
        self._in = bytearray()
        self._in_descriptors: deque[int] = deque()
        self._out: deque[tuple[memoryview, list[int]]] = deque()

    def fileno(self) -> int:
        """For selectors."""
        return self.sock.fileno()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> bool:
        """Send a message, or as much as the socket takes: True if nothing is left for :meth:`flush`.

        The descriptors stay the caller's, to close when it likes.
        """
        body = self._encoder.encode(message)
        header = _HEADER.pack(len(body), len(descriptors))
        self._out.append((memoryview(header + body), [os.dup(fd) for fd in descriptors]))
        return self.flush()

    def flush(self) -> bool:
        """Go on sending; True if nothing is left.

        Raises:
            OSError: the other side is gone.
        """
        while self._out:
            data, descriptors = self._out[0]
            try:
                sent = socket.send_fds(self.sock, [data], descriptors)
            except BlockingIOError:
                return False
            _close_all(descriptors)
            if sent < len(data):
                self._out[0] = (data[sent:], [])
            else:
                self._out.popleft()
        return True

    def receive(self) -> list[Received] | None:
        """The messages that one read completes; None at the end, also if it comes as an error."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.sock, _READ, _MOST_DESCRIPTORS)
        except (BlockingIOError, InterruptedError):
            return []
        except ConnectionError:
            return None
        self._in_descriptors.extend(descriptors)
        if not data:
            return None
        self._in += data
        return self._split()

    def close(self) -> None:
        """Close the socket, and descriptors that nobody took. Idempotent."""
        self.sock.close()
        _close_all(self._in_descriptors)
        self._in_descriptors.clear()
        for _, descriptors in self._out:
            _close_all(descriptors)
        self._out.clear()

    def _split(self) -> list[Received]:
        found: list[Received] = []
        while len(self._in) >= _HEADER.size:
            length, count = _HEADER.unpack_from(self._in)
            end = _HEADER.size + length
            if len(self._in) < end:
                break
            message = self._decoder.decode(self._in[_HEADER.size : end])
            del self._in[:end]
            found.append((message, [self._in_descriptors.popleft() for _ in range(count)]))
        return found


def _close_all(descriptors: Iterable[int]) -> None:
    for fd in descriptors:
        os.close(fd)
