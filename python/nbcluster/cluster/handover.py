"""What passes between a cluster's process and the one that started it. Light: the Jupyter server imports it.

    parent ── stdin: an order, then silence ──▶ the cluster's process
           ◀── stdout: Ready, or Failed ───────

The order is a ``ClusterSpec``, or an ``EngineSpec`` with keywords that only the cluster's process opens.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import msgspec

from nbcluster.types import Address

_LENGTH = struct.Struct("<I")


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The cluster runs."""

    address: Address
    private_address: Address
    token: bytes
    dashboard_socket: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It does not."""

    kind: str
    """The name of the exception's type."""
    message: str


def write_record(stream: BinaryIO, record: msgspec.Struct) -> None:
    """Write a record, and say first how long it is."""
    body = msgspec.msgpack.encode(record)
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def read_body(stream: BinaryIO) -> bytes:
    """Read the bytes of one record; empty if the other side is gone."""
    head = stream.read(_LENGTH.size)
    return stream.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""
