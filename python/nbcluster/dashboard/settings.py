"""What a dashboard process is told when it starts: on its standard input, for it holds the cluster's token.

The message is four bytes of length (big-endian) and a msgpack map. The pipe then stays open: its end is the end of the
process.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import msgspec

from nbcluster.types import Address

IDLE_TIMEOUT = 300.0
"""Seconds without an open page after which the process ends."""
_LENGTH = struct.Struct(">I")
_LONGEST = 1 << 20


class DashboardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a dashboard process needs to know."""

    cluster_address: Address
    token: bytes
    tcp_sockets: list[int] = []
    """Inherited descriptors of listening sockets."""
    unix_socket: int | None = None
    prefix: str = ""
    """What the paths on the TCP sockets begin with, e.g. ``"/foo"``; the Unix socket knows no prefix."""
    hosts: list[str] = []
    """Names by which it may be visited, besides those of the loopback interface."""
    idle_timeout: float = IDLE_TIMEOUT


def encode(settings: DashboardSettings) -> bytes:
    """The message."""
    body = msgspec.msgpack.encode(settings)
    return _LENGTH.pack(len(body)) + body


def read(stream: BinaryIO) -> DashboardSettings:
    """Read the message, and not a byte more.

    Raises:
        EOFError: the stream ended before the message did.
        ValueError: it is not such a message.
    """
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > _LONGEST:
        raise ValueError(f"settings of {length} bytes: this is not what a cluster sends")
    return msgspec.msgpack.decode(_exactly(stream, length), type=DashboardSettings)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError("the cluster ended while its dashboard was being started")
    return data
