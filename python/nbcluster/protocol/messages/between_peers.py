"""What is said on the links between a worker and those who need its data: other workers, and clients.

The scheduler has no part in it; it hears of what a worker holds by ``from_worker``.
"""

from __future__ import annotations

from nbcluster.protocol.actors import ActorAnswered, CallActor, ReadActor
from nbcluster.protocol.messages.data import DataItem
from nbcluster.protocol.records import Message
from nbcluster.types import Address, Key


class GetData(Message, frozen=True):
    """Send me these."""

    request: int
    keys: list[Key]
    shares: bool = False
    """The asker sees the memory that the processes of the cluster's host share: there a name is enough."""
    who: Address = ""
    """The worker that asks; empty: a client."""


class Data(Message, frozen=True):
    """The answer to ``GetData``; ``missing`` are the keys that this worker does not hold."""

    request: int
    items: list[DataItem]
    missing: list[Key]


PeerRequest = GetData | CallActor | ReadActor
"""What a worker is asked."""

PeerReply = Data | ActorAnswered
"""What it answers."""
