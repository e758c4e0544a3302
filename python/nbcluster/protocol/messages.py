"""Every message that crosses a link, as a frozen typed record.

Decoding validates; nothing here is ever pickled code.

A link is FIFO and joins two parties; a message belongs to exactly one direction of one kind of link:

    client ── ToScheduler… ──▶ scheduler ── Compute, FreeKeys… ──▶ worker
           ◀── KeysDone… ────            ◀── TasksDone… ─────────

    worker or client ── GetData ──▶ worker        (peer links: data moves without the scheduler)

A run of a task is named by its ``run_id``. A report with a run_id that the scheduler no longer knows is
stale: it is dropped, and the worker is told to free what it made.

Families of messages that serve one purpose have a module of their own beside this one; the unions at the end name all.
"""

from __future__ import annotations

from msgspec import field

from nbcluster.commands import AnyAnswer, AnyCommand
from nbcluster.protocol.actors import ActorAnswered, CallActor, ReadActor
from nbcluster.protocol.coordination import CoordinationAnswer, CoordinationRequest, LogEvent
from nbcluster.protocol.delivery import FindReceivers, Receivers
from nbcluster.protocol.inspection import ForwardLogs, Hurry, Inspect, Inspected, LogEntry, Look, Seen
from nbcluster.protocol.operating import (
    ManageMemory,
    OperationDone,
    PauseChanged,
    Rebalance,
    Replicate,
    RestartCluster,
    RestartWorkers,
    Retire,
)
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.records import Message, Record
from nbcluster.protocol.recreation import DescribeTask, TaskDescribed
from nbcluster.protocol.running import (
    CallEnded,
    FunctionRan,
    RegisterSchedulerPlugin,
    RunCall,
    RunFunction,
    RunOnScheduler,
)
from nbcluster.protocol.tls import TlsIdentity
from nbcluster.types import Address, FunctionId, Key, RunId, WorkerName

PROTOCOL_VERSION = 1


# --- parts -----------------------------------------------------------------------------------------------------------


class TaskOptions(Record, frozen=True):
    """How the tasks of one ``submit`` or ``map`` call are to be run."""

    workers: list[str] | None = None
    """Names, addresses or hosts of the workers that may run it; None means any."""
    allow_other_workers: bool = False
    resources: dict[str, float] = field(default_factory=dict)
    retries: int = 0
    priority: int | float = 0
    """Higher runs first."""
    actor: bool = False
    """The result is an object that stays where it was made, and whose methods others call."""


class Dependency(Record, frozen=True):
    """A result that a task needs: here it is, or these workers hold it."""

    key: Key
    payload: Payload | None
    holders: list[Address]
    nbytes: int


class ComputeTask(Record, frozen=True):
    """One run of one task. ``data`` and ``frames`` are the pickled ``(args, kwargs)``."""

    key: Key
    run_id: RunId
    function: FunctionId
    data: bytes
    priority: tuple[int | float, int]
    """Smaller first."""
    dependencies: tuple[Dependency, ...] = ()
    frames: tuple[Frame, ...] = ()
    actor: bool = False


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


class GraphTask(Record, frozen=True):
    """One task of a graph. ``data`` and ``frames`` are the pickled ``(args, kwargs)``."""

    key: Key
    function: FunctionId
    data: bytes
    dependencies: list[Key] = field(default_factory=list)
    wanted: bool = False
    """The client holds a future for it; the others are let go of as soon as no task needs them."""
    options: TaskOptions | None = None
    """None: those of the graph."""
    frames: list[Frame] = field(default_factory=list)


class StoredData(Record, frozen=True):
    """Data that a worker holds without having computed it."""

    key: Key
    nbytes: int
    stamp: int = 0
    """That of the item that brought it, if it was put there."""


class DataItem(Record, frozen=True):
    """A piece of data on its way: scattered by a client, or fetched by a peer."""

    key: Key
    payload: Payload
    nbytes: int = 0
    type_name: str = ""
    stamp: int = 0
    """In ``PutData``: tells one meaning of a key from the next, for the scheduler."""


class MissingData(Record, frozen=True):
    """``holder`` was said to hold ``key``, and does not answer or does not have it."""

    key: Key
    holder: Address


class KeyDone(Record, frozen=True):
    """A result is there; ``payload`` rides along if it is small."""

    key: Key
    type_name: str
    nbytes: int
    payload: Payload | None = None


class Raised(Record, frozen=True, tag=True):
    """Why a task erred: it raised. The pickled exception with its traceback."""

    payload: Payload


class Killed(Record, frozen=True, tag=True):
    """Why a task erred without raising: its workers died."""

    attempts: int
    worker: Address
    cause: str
    log: str


class Lost(Record, frozen=True, tag=True):
    """Why a task erred without raising: its data died with the last holder and cannot be recomputed."""

    worker: Address
    actor: bool = False
    """It was an actor: what it had become, nobody knows."""


Failure = Raised | Killed | Lost


class Location(Record, frozen=True):
    """Where a result is: here, or with these workers."""

    key: Key
    payload: Payload | None
    holders: list[Address]
    nbytes: int


# --- client to scheduler ---------------------------------------------------------------------------------------------


class Line(Record, frozen=True):
    """Where in line the tasks of a submission come, among those of equal priority.

    A task that needs others of its generation comes where the last of them came: it continues them, and so their
    results can be let go of early. All others come after what was submitted before.
    """

    new_generation: bool = False
    """A generation begins with this submission; else it is of the client's latest one."""
    parent: Key = ""
    """The task that submits these, if any: they come right before it, for it may be waiting for them."""


SAME_LINE = Line()


class RegisterClient(Message, frozen=True):
    """The first message of every client: by which name the scheduler and its plugins know it."""

    id: str


class SubmitTasks(Message, frozen=True):
    """Tasks of one function. ``arguments[i]`` is the pickled ``(args, kwargs)`` of ``keys[i]``.

    A key that the scheduler already knows is not run again. ``dependencies`` and ``frames`` are sparse: by
    index.
    """

    function: FunctionId
    definition: Payload
    """The pickled function."""
    keys: list[Key]
    arguments: list[bytes]
    options: TaskOptions = TaskOptions()
    dependencies: dict[int, list[Key]] = field(default_factory=dict)
    frames: dict[int, list[Frame]] = field(default_factory=dict)
    line: Line = SAME_LINE


class SubmitGraph(Message, frozen=True):
    """Tasks of several functions, in the order in which to run them: each after those that it needs.

    A key that the scheduler already knows is not run again. What is neither ``wanted`` nor needed by what is wanted is
    not run at all.
    """

    functions: dict[FunctionId, Payload]
    """The pickled functions of these tasks."""
    tasks: list[GraphTask]
    options: TaskOptions = TaskOptions()
    line: Line = SAME_LINE
    before: int = 0
    """How many tasks of the same graph came in earlier messages."""


class WantKeys(Message, frozen=True):
    """The client made futures for keys that others submitted."""

    keys: list[Key]


class ReleaseKeys(Message, frozen=True):
    """The client's last futures for these keys are gone."""

    keys: list[Key]


class CancelKeys(Message, frozen=True):
    """Cancel these tasks, and their dependents, for everybody who lets them go (``force``: for everybody)."""

    keys: list[Key]
    reason: str
    msg: str
    force: bool = False


class FinishKeys(Message, frozen=True):
    """Have these computed to their end, whoever lets them go: fire and forget."""

    keys: list[Key]


class RetryKeys(Message, frozen=True):
    """Run erred tasks again."""

    keys: list[Key]


class Scatter(Message, frozen=True):
    """Data for the workers to hold. ``broadcast`` puts it on every one of them."""

    items: list[DataItem]
    workers: list[str] | None = None
    broadcast: bool = False


class Locate(Message, frozen=True):
    """Where are these results? Answered at once by ``Located``, for those that are in memory."""

    request: int
    keys: list[Key]


class ReportMissing(Message, frozen=True):
    """The client could not fetch these; the scheduler looks elsewhere or recomputes."""

    missing: list[MissingData]


class Call(Message, frozen=True):
    """A command to the cluster; answered by ``Answered`` or ``CallFailed`` with the same id."""

    id: int
    command: AnyCommand


# --- scheduler to client ---------------------------------------------------------------------------------------------


class Welcome(Message, frozen=True):
    """The first message on every accepted client or control link."""

    cluster_id: str
    cluster_name: str
    address: Address
    dashboard_link: str
    shared: str = ""
    """Where, on this host, the cluster's shared memory is to be had; empty if it has none."""
    live: bool = False
    """All workers live in the scheduler's process: a client that does too may send live objects."""
    tls: TlsIdentity | None = None
    """With what a client fetches data from workers, if their links are encrypted; not told to other hosts."""


class KeysDone(Message, frozen=True):
    """Results are in memory.

    ``let_go`` here and below: how many keys the client had released or cancelled when the scheduler said so, as far as
    it knew.
    That tells a former meaning of a key from the one that the client has given it since.
    """

    items: list[KeyDone]
    let_go: int = 0


class KeyErred(Message, frozen=True):
    """A task failed. ``blamed`` is the key that failed first: itself, or something it depends on."""

    key: Key
    error: Failure
    blamed: Key
    let_go: int = 0


class KeysPending(Message, frozen=True):
    """Results that were there are gone; they are being recomputed."""

    keys: list[Key]


class KeysCancelled(Message, frozen=True):
    """These tasks will never finish."""

    keys: list[Key]
    reason: str
    msg: str
    let_go: int = 0


class Located(Message, frozen=True):
    """The answer to ``Locate``; a key that is not in memory is not in it."""

    request: int
    items: list[Location]


class TaskOutput(Message, frozen=True):
    """Text that a task printed. Worker to scheduler, and on to the clients that hold its key."""

    key: Key
    """Empty: it was printed outside of tasks, and all clients are to be told."""
    stream: str
    """``"stdout"`` or ``"stderr"``."""
    text: str


class Answered(Message, frozen=True):
    """The answer to a ``Call``."""

    id: int
    answer: AnyAnswer


class CallFailed(Message, frozen=True):
    """A ``Call`` was refused: ``kind`` is the name of an exception in ``errors`` or a built-in one."""

    id: int
    kind: str
    message: str


class Pushed(Message, frozen=True):
    """What a subscription yields."""

    answer: AnyAnswer


class Stopping(Message, frozen=True):
    """The scheduler closes the link on purpose; not to be taken for a crash. Also to workers."""

    reason: str


# --- worker to scheduler ---------------------------------------------------------------------------------------------


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


# --- scheduler to worker ---------------------------------------------------------------------------------------------


class Compute(Message, frozen=True):
    """Tasks to run, in priority order, after those it already has."""

    tasks: list[ComputeTask]


class DefineFunctions(Message, frozen=True):
    """Functions by id; sent once to each worker, before the first task that names them."""

    functions: dict[FunctionId, Payload]


class ForgetFunctions(Message, frozen=True):
    """No task of these functions is left; drop them."""

    functions: list[FunctionId]


class RecallTasks(Message, frozen=True):
    """Give back those of these runs that have not started."""

    run_ids: list[RunId]
    request: int


class FreeKeys(Message, frozen=True):
    """Forget these: data, queued runs; the result of a run under way is dropped when it ends."""

    keys: list[Key]


class PutData(Message, frozen=True):
    """Hold this data; answered by ``DataAdded``."""

    items: list[DataItem]


class AcquireReplicas(Message, frozen=True):
    """Fetch copies from peers; answered by ``DataAdded`` or ``ReplicasFailed``."""

    items: list[Location]


# --- peer links ------------------------------------------------------------------------------------------------------


class GetData(Message, frozen=True):
    """Send me these."""

    request: int
    keys: list[Key]
    shares: bool = False
    """The asker sees the memory that the processes of the cluster's host share: there a name is enough."""


class Data(Message, frozen=True):
    """The answer to ``GetData``; ``missing`` are the keys that this worker does not hold."""

    request: int
    items: list[DataItem]
    missing: list[Key]


ClientMessage = (
    RegisterClient
    | SubmitTasks
    | SubmitGraph
    | WantKeys
    | ReleaseKeys
    | CancelKeys
    | RetryKeys
    | FinishKeys
    | Scatter
    | Locate
    | FindReceivers
    | ReportMissing
    | DescribeTask
    | Inspect
    | Hurry
    | ForwardLogs
    | CoordinationRequest
    | Call
    | RunFunction
    | RunOnScheduler
    | RegisterSchedulerPlugin
    | Retire
    | RestartWorkers
    | RestartCluster
    | Replicate
    | Rebalance
    | ManageMemory
)
"""What a client (or, of these, only ``Call``: a control link) may send to the scheduler."""

ToClient = (
    Welcome
    | KeysDone
    | KeyErred
    | KeysPending
    | KeysCancelled
    | Located
    | Receivers
    | TaskOutput
    | TaskDescribed
    | Answered
    | CallFailed
    | Pushed
    | Inspected
    | LogEntry
    | CoordinationAnswer
    | Stopping
    | FunctionRan
    | OperationDone
)
"""What the scheduler may send to a client."""

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
    | LogEvent
)
"""What a worker may send to the scheduler."""

ToWorker = (
    DefineFunctions
    | ForgetFunctions
    | Compute
    | RecallTasks
    | FreeKeys
    | PutData
    | AcquireReplicas
    | Look
    | ForwardLogs
    | Stopping
    | RunCall
)
"""What the scheduler may send to a worker."""

PeerRequest = GetData | CallActor | ReadActor
PeerReply = Data | ActorAnswered
