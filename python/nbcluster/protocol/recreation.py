"""How a task is computed, for a client that wants to do so itself.

client ── DescribeTask ──▶ scheduler
       ◀── TaskDescribed, or CallFailed ──
"""

from __future__ import annotations

from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.records import Message
from nbcluster.types import Key


class DescribeTask(Message, frozen=True):
    """How is this task computed?"""

    request: int
    key: Key
    blamed: bool = False
    """If it erred: tell of the task that failed first, itself or something it depends on."""


class TaskDescribed(Message, frozen=True):
    """What a worker would be sent. ``data`` and ``frames`` are the pickled ``(args, kwargs)``."""

    request: int
    key: Key
    function: Payload
    data: bytes
    frames: list[Frame]
    dependencies: list[Key]
