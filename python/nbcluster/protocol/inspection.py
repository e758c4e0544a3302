"""What a client may ask about a cluster, and what it is told.

    client ── Inspect ──▶ scheduler ── Look ──▶ workers
           ◀─ Inspected ─            ◀─ Seen ──

Questions about tasks and data are answered by the scheduler from its state. Those about what goes on inside of workers
it passes on to them; once all have answered, or the client loses patience (``Hurry``), it sends on what they said.
Nothing here carries pickled code.
"""

from __future__ import annotations

from msgspec import field

from nbcluster.protocol.explanation import Explanation
from nbcluster.protocol.profiles import Profile
from nbcluster.protocol.records import Message, Record
from nbcluster.types import Address, Key, WorkerName

# --- what workers are asked ------------------------------------------------------------------------------------------


class LookAtRuns(Record, frozen=True, tag=True):
    """What the threads do, and with which call stacks. Answer: ``Runs``. Keys: only these, and how far they are."""

    keys: list[Key] | None = None


class LookAtStory(Record, frozen=True, tag=True):
    """What happened to these keys. Answer: ``StoryLines``."""

    names: list[str]


class LookAtVersions(Record, frozen=True, tag=True):
    """What it runs on. Answer: ``Versions``. ``packages``: others that matter, by their import names."""

    packages: list[str] = field(default_factory=list)


class LookAtProfile(Record, frozen=True, tag=True):
    """Where its threads spent their time. Answer: ``Profile``. Moments are seconds since the epoch.

    ``prefix``: in tasks of this name only; ``loop``: the event loop's thread instead of those that run tasks.
    """

    prefix: str | None = None
    start: float | None = None
    stop: float | None = None
    loop: bool = False


class LookAtState(Record, frozen=True, tag=True):
    """All that it knows of its runs and its data. Answer: ``WorkerDump``."""


AnyLook = LookAtRuns | LookAtStory | LookAtVersions | LookAtProfile | LookAtState


# --- what workers answer ---------------------------------------------------------------------------------------------


class RunSight(Record, frozen=True):
    """One run, as its worker sees it."""

    key: Key
    state: str
    """``"running"``, ``"queued"`` in the worker, or ``"fetching"`` its data."""
    seconds: float = 0.0
    """For how long it has been running."""
    thread: str = ""
    stack: list[str] = field(default_factory=list)
    """The call stack of its thread, the outermost call first, without nbcluster's own."""
    missing: list[Key] = field(default_factory=list)
    """What it fetches."""
    holders: list[Address] = field(default_factory=list)
    """And from whom."""
    abandoned: list[Key] = field(default_factory=list)
    """Of what is queued: which tasks the threads still run that nobody wants any more."""


class Runs(Record, frozen=True, tag=True):
    """The answer to ``LookAtRuns``."""

    runs: list[RunSight]


class StoryLine(Record, frozen=True):
    """One transition of a key."""

    ago: float
    """Seconds before it was told."""
    key: Key
    before: str
    after: str
    stimulus: str
    """What it was that moved it: an event of the scheduler's; on a worker, the number of the run."""


class StoryLines(Record, frozen=True, tag=True):
    """What happened, the oldest first."""

    lines: list[StoryLine]


class Versions(Record, frozen=True, tag=True):
    """What a process runs on."""

    host: dict[str, str]
    packages: dict[str, str | None]
    """None: not installed."""


class RunDump(Record, frozen=True):
    """One run that a worker was given."""

    key: Key
    run_id: int
    state: str
    waiting_on: list[Key]


class WorkerDump(Record, frozen=True, tag=True):
    """All that a worker knows."""

    runs: list[RunDump]
    held: dict[Key, int]
    fetching: dict[Key, Address]
    story: list[StoryLine]


AnySight = Runs | StoryLines | Versions | Profile | WorkerDump


# --- what the scheduler is asked -------------------------------------------------------------------------------------


class AskHolders(Record, frozen=True, tag=True):
    """Which workers hold these results? Answer: ``Lists``, addresses by key. None: all results."""

    keys: list[Key] | None = None


class AskHoldings(Record, frozen=True, tag=True):
    """Which results do these workers hold? Answer: ``Lists``, keys by address. None: all workers."""

    workers: list[str] | None = None


class AskProcessing(Record, frozen=True, tag=True):
    """Which tasks are these workers to run, or running? Answer: ``Lists``, keys by address. None: all workers."""

    workers: list[str] | None = None


class AskSizes(Record, frozen=True, tag=True):
    """How large are these results? Answer: ``Sizes``. None: all that are there."""

    keys: list[Key] | None = None
    summary: bool = False
    """Added up by name."""


class AskStory(Record, frozen=True, tag=True):
    """What happened to these keys, or because of these stimuli? Answer: ``StoryLines``."""

    names: list[str]


class AskWhy(Record, frozen=True, tag=True):
    """Why is this key not done? Answer: ``Explanation``."""

    key: Key


class AskScheduler(Record, frozen=True, tag=True):
    """What does the scheduler's own process see? Answer: ``Versions`` or ``Profile``; else it refuses."""

    look: AnyLook


class AskState(Record, frozen=True, tag=True):
    """All that the scheduler knows. Answer: ``SchedulerDump``."""


class AskWorkers(Record, frozen=True, tag=True):
    """What do these workers, all without names, see? Answer: ``Sights``."""

    look: AnyLook
    workers: list[str] | None = None


AnyQuestion = (
    AskHolders | AskHoldings | AskProcessing | AskSizes | AskStory | AskWhy | AskScheduler | AskState | AskWorkers
)


# --- what the scheduler answers --------------------------------------------------------------------------------------


class Lists(Record, frozen=True, tag=True):
    """Names by name."""

    by_name: dict[str, list[str]]


class Sizes(Record, frozen=True, tag=True):
    """Bytes by key, or by the tasks' names."""

    by_name: dict[str, int]


class TaskDump(Record, frozen=True):
    """One task, as the scheduler sees it."""

    key: Key
    state: str
    prefix: str
    dependencies: list[Key]
    waiting_on: list[Key]
    who_has: list[Address]
    who_wants: list[str]
    processing_on: Address | None
    nbytes: int
    type: str
    priority: int | float
    retries: int
    suspicious: int
    worker_restrictions: list[str] | None
    resource_restrictions: dict[str, float]


class WorkerSummary(Record, frozen=True):
    """One worker, as the scheduler sees it."""

    address: Address
    name: WorkerName
    status: str
    pid: int
    nthreads: int
    memory_limit: int | None
    memory: int
    resources: dict[str, float]
    available: dict[str, float]
    occupancy: float
    processing: list[Key]
    holds: int


class SchedulerDump(Record, frozen=True, tag=True):
    """All that the scheduler knows."""

    tasks: list[TaskDump]
    workers: list[WorkerSummary]
    clients: dict[str, list[Key]]
    story: list[StoryLine]


class Sights(Record, frozen=True, tag=True):
    """What workers saw; ``silent`` are those that have not answered."""

    by_worker: dict[Address, AnySight]
    silent: list[Address]


AnyInspection = Lists | Sizes | StoryLines | Explanation | Versions | Profile | SchedulerDump | Sights


# --- messages --------------------------------------------------------------------------------------------------------


class Inspect(Message, frozen=True):
    """Client to scheduler: a question; answered by ``Inspected`` or ``CallFailed`` with the same number."""

    request: int
    question: AnyQuestion


class Hurry(Message, frozen=True):
    """Client to scheduler: send what workers have answered so far."""

    request: int


class Inspected(Message, frozen=True):
    """Scheduler to client: the answer."""

    request: int
    answer: AnyInspection


class Look(Message, frozen=True):
    """Scheduler to worker: a question; answered by ``Seen``."""

    request: int
    look: AnyLook


class Seen(Message, frozen=True):
    """Worker to scheduler: the answer."""

    request: int
    sight: AnySight


class ForwardLogs(Message, frozen=True):
    """Send me what your loggers below this one say, from this level on; ``level=None``: no more.

    Client to scheduler, and from there to every worker, those that join later too.
    """

    logger: str
    """Empty: all."""
    level: int | None
    pids: list[int] = field(default_factory=list)
    """The processes that want it: what is said in the only one of them needs no sending."""


class LogEntry(Message, frozen=True):
    """A log record. Worker to scheduler, and on to the clients that asked for it."""

    forwarded: str
    """The name for which it is sent."""
    name: str
    level: int
    text: str
    created: float
    path: str
    line: int
    function: str
    thread: str
    pid: int
    traceback: str = ""
    worker: Address = ""
