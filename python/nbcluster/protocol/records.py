"""What all messages are made of."""

from __future__ import annotations

import msgspec


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A part of a message."""


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """What travels on a link."""
