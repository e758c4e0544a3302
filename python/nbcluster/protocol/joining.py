"""How workers from outside belong to a cluster: said over a control link, beside the link of the worker itself.

control ── TakeName ──▶ scheduler      before there is a worker
        ── WorkerEnded ──▶             how its process ended
        ── LetGo ──▶                   it is to go, gently
        ── GiveUpName ──▶              nobody comes under this name any more
        ◀── OperationDone, CallFailed ──
        ◀── Joined ──                  the worker is there
        ◀── Dismissed ──               nobody is to come under this name any more
        ◀── StartAfresh ──             another is to take the worker's place

A name is somebody's until it is given up, or the link over which it was taken ends.
"""

from __future__ import annotations

from msgspec import field

from nbcluster.protocol.records import Message
from nbcluster.types import Address, RunId, WorkerName


class TakeName(Message, frozen=True):
    """Have a name for a worker that is about to come. Fails if it is taken."""

    request: int
    name: WorkerName
    supervised: bool = False
    """Whether ``WorkerEnded`` will tell how its process ended."""


class GiveUpName(Message, frozen=True):
    """The opposite. Answered when the worker is gone."""

    request: int
    name: WorkerName


class LetGo(Message, frozen=True):
    """Have the worker end once what it holds is elsewhere. Answered at once."""

    request: int
    name: WorkerName


class WorkerEnded(Message, frozen=True):
    """A supervised worker's process has ended. No answer."""

    name: WorkerName
    pid: int
    """Tells it from its successor."""
    cause: str
    """Exit code or signal, memory at the end."""
    running: list[RunId] = field(default_factory=list)
    """What its threads were executing."""
    log: str = ""
    """Its last lines."""


class Joined(Message, frozen=True):
    """To whoever has this name: the worker has registered. No answer."""

    name: WorkerName
    pid: int
    address: Address
    local_directory: str = ""


class Dismissed(Message, frozen=True):
    """To whoever has this name: the worker goes for good, and may go now. No answer but ``GiveUpName``."""

    name: WorkerName
    reason: str


class StartAfresh(Message, frozen=True):
    """To whoever has this name: end the worker, and start another. No answer: another joins."""

    name: WorkerName


ToHost = Joined | Dismissed | StartAfresh
"""What is said to whoever has a name."""
NameRequest = TakeName | GiveUpName | LetGo
Joining = NameRequest | WorkerEnded
"""What may be said of workers from outside."""
