"""Large data on its way from a client that shares no memory with the cluster: straight to a worker that does.

    client ── FindReceivers ──▶ scheduler       whose worker takes it?
    client ── Deliver, the bytes ──▶ worker     which reads them into memory that all of its host share
           ◀── Delivered, a name ──
    client ── Scatter, SubmitTasks… with that name in place of the bytes ──▶ scheduler

From then on it is as if the client had shared the bytes itself: nothing is visible before all of them are there, and
what is delivered lives as long as the scheduler tells anybody of it, whatever becomes of the client and the worker.
"""

from __future__ import annotations

from nbcluster.protocol.payload import Frame
from nbcluster.protocol.records import Message
from nbcluster.protocol.sharing import BlobId
from nbcluster.types import Address


class FindReceivers(Message, frozen=True):
    """Which workers take large data? Client to scheduler."""

    request: int


class Receivers(Message, frozen=True):
    """The answer: where they listen. None if there is none that shares memory with the scheduler."""

    request: int
    addresses: list[Address]


class Deliver(Message, frozen=True):
    """Put this where all workers of the host see it. Client to worker, as a sender."""

    request: int
    frame: Frame


class Delivered(Message, frozen=True):
    """The answer: it is there, by this name. It stays for as long as the link, and until the scheduler knows of it."""

    request: int
    blob: BlobId


class NotDelivered(Message, frozen=True):
    """The answer: it could not be put there."""

    request: int
    reason: str


class TakeBack(Message, frozen=True):
    """The scheduler will never be told of these: nobody needs them. Not answered."""

    blobs: list[BlobId]


SenderRequest = Deliver | TakeBack
SenderReply = Delivered | NotDelivered
