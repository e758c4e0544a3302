"""What a worker says to the scheduler.

It says how the runs that it was sent ended, which data it holds, and how it is.
"""

from __future__ import annotations

from msgspec import field

from nbcluster.protocol.coordination import LogEvent
from nbcluster.protocol.inspection import LogEntry, Seen
from nbcluster.protocol.messages.data import DataItem, MissingData
from nbcluster.protocol.operating import PauseChanged, ResourcesChanged
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message, Record
from nbcluster.protocol.running import CallEnded
from nbcluster.types import Address, Key, RunId, WorkerName


class TaskDone(Record, frozen=True):
    """A run that succeeded. The worker holds the result; ``payload`` is there if it is small."""

    key: Key
    run_id: RunId
    nbytes: int
    type_name: str
    thread: int
    start: float
    stop: float
    payload: Payload | None = None


class StoredData(Record, frozen=True):
    """Data that a worker holds without having computed it."""

    key: Key
    nbytes: int
    stamp: int = 0
    """That of the item that brought it, if it was put there."""


class RegisterWorker(Message, frozen=True):
    """The first message of every worker."""

    name: WorkerName
    address: Address
    """Where its peers fetch data."""
    nthreads: int
    pid: int
    memory_limit: int | None = None
    resources: dict[str, float] = field(default_factory=dict)
    shares: bool = False
    """It shares memory with the scheduler's process: what is delivered to it all workers of that host see."""
    local_directory: str = ""
    """Where a folder of its own is, once somebody has asked for it."""


class TasksDone(Message, frozen=True):
    """Runs that succeeded, in the order in which they ended."""

    items: list[TaskDone]


class TaskErred(Message, frozen=True):
    """A run that raised. ``error`` is the pickled exception with its traceback."""

    key: Key
    run_id: RunId
    error: Payload
    text: str
    """The last line of the traceback, for logs and stories."""
    thread: int
    start: float
    stop: float


class TaskRescheduled(Message, frozen=True):
    """The task raised ``Reschedule``."""

    key: Key
    run_id: RunId


class TaskSeceded(Message, frozen=True):
    """The run goes on, but it has given its thread to others: it waits for other tasks, or asked for it."""

    key: Key
    run_id: RunId


class TaskRejoined(Message, frozen=True):
    """The run occupies a thread again."""

    key: Key
    run_id: RunId


class TaskReturned(Message, frozen=True):
    """The worker gives a task back unrun, because data it needs could not be fetched."""

    key: Key
    run_id: RunId
    missing: list[MissingData]


class TasksRecalled(Message, frozen=True):
    """The answer to ``RecallTasks``: these had not started and are the scheduler's again."""

    run_ids: list[RunId]
    request: int


class DataAdded(Message, frozen=True):
    """The worker now holds these too: scattered to it, or fetched from a peer."""

    items: list[StoredData]


class DataShared(Message, frozen=True):
    """The worker has put these results into shared memory: who needs them need not ask it any more."""

    items: list[DataItem]


class DataTakenAway(Message, frozen=True):
    """The worker had put these results into shared memory, and has them on disk now: who needs them has to ask it."""

    keys: list[Key]


class ReplicasFailed(Message, frozen=True):
    """What ``AcquireReplicas`` asked for could not be fetched."""

    missing: list[MissingData]


class WorkerMetrics(Message, frozen=True):
    """What the worker measures of itself, about once a second and only when changed."""

    memory: int
    stored: int
    cpu: float
    executing: int
    spilled: int = 0


class TaskOutput(Message, frozen=True):
    """Text that a task printed. Worker to scheduler, and on to the clients that hold its key."""

    key: Key
    """Empty: it was printed outside of tasks, and all clients are to be told."""
    stream: str
    """``"stdout"`` or ``"stderr"``."""
    text: str


WorkerMessage = (
    RegisterWorker
    | TasksDone
    | TaskErred
    | TaskRescheduled
    | TaskSeceded
    | TaskRejoined
    | TaskReturned
    | TasksRecalled
    | DataAdded
    | DataShared
    | DataTakenAway
    | ReplicasFailed
    | WorkerMetrics
    | TaskOutput
    | Seen
    | LogEntry
    | CallEnded
    | PauseChanged
    | ResourcesChanged
    | LogEvent
)
"""What a worker may send to the scheduler."""
