"""What a client has the cluster do to workers and to data.

client ── Retire, RestartWorkers, RestartCluster ──▶ the cluster around the scheduler
── Replicate, Rebalance, ManageMemory ──▶ scheduler
◀── OperationDone, CallFailed ──
"""

from __future__ import annotations

from typing import Literal

from msgspec import field

from nbcluster.protocol.records import Message
from nbcluster.types import Key


class Retire(Message, frozen=True):
    """Let workers go once what they hold is elsewhere. Answer: the name of each, by address."""

    request: int
    workers: list[str] | None = None
    """Names or addresses; None: those that have nothing to do and hold nothing."""
    close: bool = True
    """False: they get no more tasks, and stay."""
    n: int | None = None
    """If ``workers`` is None: so many, the least busy first."""
    minimum: int = 0
    """If ``workers`` is None: so many stay."""


class RestartWorkers(Message, frozen=True):
    """Have new processes in place of these workers. Answer: ``"OK"`` or ``"timed out"`` for each, as it was named."""

    request: int
    workers: list[str]
    timeout: float


class RestartCluster(Message, frozen=True):
    """Forget all tasks and have new processes in place of all workers."""

    request: int
    timeout: float
    wait: bool = True
    """Until the new ones are there; else only until the old ones are gone."""


class Replicate(Message, frozen=True):
    """Have ``n`` of these workers hold each of these results. Answer: nothing."""

    request: int
    keys: list[Key]
    n: int | None = None
    """None: all of them."""
    workers: list[str] | None = None
    """None: any."""
    branching_factor: int = 2
    """How many copies are made at a time of each that there is."""


class Rebalance(Message, frozen=True):
    """Have workers hold about equally much. Answer: nothing."""

    request: int
    keys: list[Key] | None = None
    """What may be moved; None: everything."""
    workers: list[str] | None = None


class ManageMemory(Message, frozen=True):
    """Drop spare copies now and then, or now, or not. Answer: ``{"running": "yes"}`` or ``"no"``."""

    request: int
    action: Literal["start", "stop", "run_once", "running"]


class PauseChanged(Message, frozen=True):
    """Worker to scheduler: it wants no more tasks for want of memory, or wants some again."""

    paused: bool


class ResourcesChanged(Message, frozen=True):
    """Worker to scheduler: from now on it offers so much of these."""

    resources: dict[str, float]


class OperationDone(Message, frozen=True):
    """The answer to any of them."""

    request: int
    answer: dict[str, str] = field(default_factory=dict)


ClusterOperation = Retire | RestartWorkers | RestartCluster
"""What the cluster around the scheduler carries out."""
