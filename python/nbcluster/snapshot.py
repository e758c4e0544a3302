"""What a cluster looks like from outside: frozen views, all that cards, sidebar and dashboard read.

This is one versioned schema: the TypeScript types are generated from it. Bytes are bytes, times are seconds
since the epoch, durations are seconds, ``cpu`` is per cent of one core.
"""

from __future__ import annotations

from typing import NoReturn

import msgspec

from nbcluster.types import Address, Key, Status, WorkerName

SCHEMA_VERSION = 1


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen record that travels as a JSON object (REST, cards) or a msgpack map (control links)."""


class WorkerView(View, frozen=True):
    """One worker."""

    name: WorkerName
    address: Address = ""
    status: Status = Status.STARTING
    pid: int | None = None
    """Of its process; None while there is none."""
    nthreads: int = 1
    memory_limit: int | None = None
    memory: int = 0
    """Resident bytes of the process."""
    stored: int = 0
    """Bytes of the results that it holds in memory."""
    spilled: int = 0
    """Bytes of the results that it holds on disk, for lack of memory."""
    cpu: float = 0.0
    processing: int = 0
    """Tasks assigned to it and not finished, those waiting in its own queue included."""
    executing: int = 0
    done: int = 0
    """Tasks finished since it joined."""
    restarts: int = 0
    resources: dict[str, float] = {}
    last_exit: str = ""
    """How its process ended the last time, e.g. ``"killed by SIGKILL"``."""
    local_directory: str = ""
    """Where a folder of its own is, once a task has asked for it."""

    def __getattr__(self, name: str) -> NoReturn:
        there = ", ".join(self.__struct_fields__)
        raise AttributeError(f"the view of a worker has no {name!r}; it has {there}. Ask the client for all else")


class TaskCounts(View, frozen=True):
    """How many tasks are in which state right now; ``done`` counts completions since the cluster started."""

    released: int = 0
    waiting: int = 0
    queued: int = 0
    no_worker: int = 0
    processing: int = 0
    memory: int = 0
    erred: int = 0
    done: int = 0


class PrefixView(View, frozen=True):
    """The tasks that share a function name."""

    name: str
    counts: TaskCounts
    mean_duration: float | None = None


class AdaptiveView(View, frozen=True):
    """The limits of automatic scaling and its last decision."""

    minimum: int
    maximum: int | None
    target: int
    reason: str = ""


class OwnerView(View, frozen=True):
    """On whose behalf a server keeps the cluster."""

    kind: str
    """``"notebook"``, ``"kernel"``, ``"process"`` (a script's own cluster) or ``"none"`` (kept until shut
    down)."""
    path: str = ""
    """The notebook's path below the server's root."""
    kernel_id: str = ""
    kernel_name: str = ""
    alive: bool = True
    lease: float | None = None
    """When the owner is gone: the moment (seconds since the epoch) at which the cluster will be shut down."""


class ClusterView(View, frozen=True):
    """A whole cluster at one moment."""

    id: str
    name: str
    status: Status
    message: str = ""
    """For people: the step that a start has reached, or why the cluster is broken or failed."""
    address: Address = ""
    dashboard_link: str = ""
    workers: list[WorkerView] = []
    requested: int = 0
    """How many workers it should have."""
    threads_per_worker: int = 1
    capacity: int = 1
    """How many workers this machine can reasonably hold: the end of the scale slider."""
    tasks: TaskCounts = TaskCounts()
    prefixes: list[PrefixView] = []
    adaptive: AdaptiveView | None = None
    occupancy: float = 0.0
    """Seconds of work that is assigned or queued."""
    owner: OwnerView | None = None
    shared: int = 0
    """Bytes of the data that the cluster's processes share, each counted once; no worker's ``stored`` has them."""
    clients: int = 0
    versions: dict[str, str] = {}
    """What it runs on, e.g. ``{"nbcluster": "0.1.0", "python": "3.12.4"}``."""
    started: float = 0.0
    time: float = 0.0
    version: int = SCHEMA_VERSION


class LogLine(View, frozen=True):
    """One line that a component of the cluster wrote."""

    time: float
    source: str
    """``"Cluster"``, ``"Scheduler"`` or a worker's address."""
    level: str
    """``"DEBUG"`` … ``"CRITICAL"`` for records, ``"STDOUT"`` or ``"STDERR"`` for plain output."""
    text: str
    worker: WorkerName | None = None
    number: int = 0
    """Counts up within one cluster; ask for lines *after* a number to follow the log."""


class TaskRecord(View, frozen=True):
    """One completed run of one task, for the task stream."""

    key: Key
    prefix: str
    worker: WorkerName
    thread: int
    """Index of the executing thread within its worker."""
    start: float
    stop: float
    status: str
    """``"finished"`` or ``"error"``."""
    nbytes: int = 0
    number: int = 0
