"""What can happen to the scheduler. Messages arrive in batches, as a link delivers them."""

from __future__ import annotations

from typing import Any, NamedTuple

from nbcluster.protocol.coordination import LogEvent
from nbcluster.protocol.messages import RegisterWorker
from nbcluster.types import RunId, WorkerName


class ClientJoined(NamedTuple):
    """A client connected."""

    id: str


class ClientLeft(NamedTuple):
    """A client's link ended: all it wanted is released."""

    id: str


class FromClient(NamedTuple):
    """Messages of one client."""

    id: str
    messages: list[Any]


class WorkerJoined(NamedTuple):
    """A worker registered."""

    registration: RegisterWorker


class WorkerLeft(NamedTuple):
    """A worker is gone; ``running`` are the runs that its threads were executing at the end."""

    name: WorkerName
    running: frozenset[RunId] = frozenset()
    cause: str = ""
    log: str = ""


class FromWorker(NamedTuple):
    """Messages of one worker."""

    name: WorkerName
    messages: list[Any]


class RetireWorkers(NamedTuple):
    """These workers are to go, without loss."""

    names: list[WorkerName]


class Forget(NamedTuple):
    """Cancel and forget everything: the cluster restarts."""

    reason: str
    msg: str


class DropSpares(NamedTuple):
    """It is time to drop copies that nobody needs."""


class Tick(NamedTuple):
    """Time has passed, and somebody waits for a lease that may have expired."""


class Tidy(NamedTuple):
    """There is time to forget what nobody wants any more: so many tasks."""

    most: int


class Logged(NamedTuple):
    """User code in the scheduler's process logs something under topics."""

    message: LogEvent


Event = (
    ClientJoined
    | ClientLeft
    | FromClient
    | WorkerJoined
    | WorkerLeft
    | FromWorker
    | RetireWorkers
    | Forget
    | DropSpares
    | Tick
    | Tidy
    | Logged
)
