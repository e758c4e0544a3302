"""What a worker knows: runs that it was given, data that it holds, data that it fetches. Plain records.

A run:

    new ──▶ waiting ──▶ ready ──▶ finished, erred, rescheduled
     │         │          ▲ └───▶ returned, recalled, freed
     ├─────────┼──────────┘
     │         └──▶ returned, recalled, freed
     └──▶ returned

*Waiting* for data from peers; *ready* is the executor's: queued, or running in a thread. The other states
are ends, the record is gone: *recalled* by the scheduler, *returned* to it for lack of data, *freed* because
nobody wants it any more.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from nbcluster.protocol.messages import ComputeTask, MissingData
from nbcluster.types import Address, Key, RunId
from nbcluster.worker.story import RunState, Story

STORY_LENGTH = 10_000
"""Transitions that are kept."""

NEW: Final = 0
WAITING: Final = 1
READY: Final = 2
FINISHED: Final = 3
ERRED: Final = 4
RESCHEDULED: Final = 5
RETURNED: Final = 6
RECALLED: Final = 7
FREED: Final = 8
STATE_NAMES: Final = (
    "new",
    "waiting",
    "ready",
    "finished",
    "erred",
    "rescheduled",
    "returned",
    "recalled",
    "freed",
)


class WorkerTask(msgspec.Struct, eq=False):
    """One run of one task on this worker."""

    task: ComputeTask
    state: RunState = NEW
    inputs: dict[Key, Any] | None = None
    """What its dependencies are: a payload, a stored datum, or None as long as it is to be had from the
    store. No dependencies, no dict."""
    waiting_on: dict[KeyFetch, None] | None = None

    def __repr__(self) -> str:
        return f"<WorkerTask {self.task.key} run {self.task.run_id} {STATE_NAMES[self.state]}>"


class KeyFetch:
    """One result on its way from a peer. It is *queued* at one peer, or *asked* of it.

    One that was asked for when its key was freed is *detached*: what arrives serves the runs that wait for
    it, but is no longer what the key means, and is not kept.
    """

    __slots__ = ("asked", "detached", "holder", "key", "nbytes", "replica", "tried", "untried", "waiters")

    def __init__(self, key: Key, nbytes: int) -> None:
        self.key = key
        self.nbytes = nbytes
        self.holder: Address = ""
        self.asked = False
        self.detached = False
        self.untried: list[Address] = []
        self.tried: list[MissingData] = []
        self.waiters: dict[WorkerTask, None] = {}
        self.replica = False
        """True if the scheduler asked for a copy here, whoever waits for it."""

    def __repr__(self) -> str:
        return f"<KeyFetch {self.key} {'asked of' if self.asked else 'queued at'} {self.holder}>"

    @property
    def wanted(self) -> bool:
        """True if it still serves anybody."""
        return bool(self.waiters) or self.replica


class Peer:
    """Another worker: what was asked of it, and what will be next. One request at a time."""

    __slots__ = ("asked", "queued")

    def __init__(self) -> None:
        self.asked: dict[Key, KeyFetch] = {}
        self.queued: dict[KeyFetch, None] = {}


class WorkerState:
    """Everything."""

    __slots__ = ("by_key", "fetches", "held", "peers", "recalling", "runs", "story")

    def __init__(self) -> None:
        self.runs: dict[RunId, WorkerTask] = {}
        self.by_key: dict[Key, WorkerTask] = {}
        self.held: dict[Key, int] = {}
        """Bytes of what the store holds."""
        self.fetches: dict[Key, KeyFetch] = {}
        """Those that are not detached."""
        self.peers: dict[Address, Peer] = {}
        """Only those of whom something is wanted."""
        self.recalling: dict[int, list[RunId]] = {}
        """Requests that the executor has not answered yet, with the runs that were given back without it."""
        self.story = Story(STORY_LENGTH)
