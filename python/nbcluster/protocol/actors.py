"""Messages to actors: on the peer links of the worker that an actor lives on, without the scheduler.

client or worker ── CallActor, ReadActor ──▶ the actor's worker
                 ◀── ActorAnswered ──────────
"""

from __future__ import annotations

from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.types import Key


class CallActor(Message, frozen=True):
    """Call a method; ``arguments`` is the pickled ``(args, kwargs)``. Calls of one link are begun in their order."""

    request: int
    key: Key
    method: str
    arguments: Payload


class ReadActor(Message, frozen=True):
    """Read an attribute."""

    request: int
    key: Key
    name: str


class ActorAnswered(Message, frozen=True):
    """What was returned, or raised; neither if there is no such actor."""

    request: int
    result: Payload | None = None
    error: Payload | None = None
