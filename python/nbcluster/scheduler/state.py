"""What the scheduler knows: tasks, workers, clients. Plain records; only ``machine`` changes a task's state.

    released ──▶ waiting ──▶ queued ──▶ processing ──▶ memory
       ▲            │          ▲            │             │
       │            ▼          └────────────┤             │
       └──────────────── erred ◀────────────┘             │
       └──────────────────────────────────────────────────┘   (and from anywhere to forgotten)

A task is *wanted* by clients that hold futures for it and *awaited* by tasks that need its data. In memory
and neither wanted nor awaited, its data is freed: it is released. Released, with no dependent left that might
have to be run again, it is forgotten. Until then the released task is the lineage from which lost data is
recomputed.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

import msgspec

from nbcluster.protocol.messages import DataItem, Failure, TaskOptions
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.scheduler.runs import RunLog
from nbcluster.scheduler.story import State, Story
from nbcluster.types import Address, FunctionId, Key, RunId, Status, WorkerName, host_of

RELEASED: Final = 0
WAITING: Final = 1
QUEUED: Final = 2
PROCESSING: Final = 3
MEMORY: Final = 4
ERRED: Final = 5
FORGOTTEN: Final = 6
STATE_NAMES: Final = ("released", "waiting", "queued", "processing", "memory", "erred", "forgotten")

TRANSITIONS: Final = frozenset(
    {
        (RELEASED, WAITING),  # somebody needs it: its lineage is computed first
        (RELEASED, MEMORY),  # scattered data has arrived
        (RELEASED, ERRED),  # nothing can compute it
        (RELEASED, FORGOTTEN),  # nobody needs it, nor anything that depends on it
        (WAITING, QUEUED),  # its dependencies are in memory
        (WAITING, RELEASED),
        (WAITING, ERRED),  # a dependency erred
        (QUEUED, PROCESSING),  # a worker has room
        (QUEUED, WAITING),  # a dependency was lost
        (QUEUED, RELEASED),
        (QUEUED, ERRED),
        (PROCESSING, MEMORY),
        (PROCESSING, ERRED),
        (PROCESSING, QUEUED),  # recalled, rescheduled, retried, or its worker died
        (PROCESSING, WAITING),  # the same, and a dependency was lost as well
        (PROCESSING, RELEASED),
        (MEMORY, RELEASED),  # freed, or lost and to be computed again
        (MEMORY, ERRED),  # scattered data was lost
        (ERRED, RELEASED),  # retried, or let go
    }
)
"""The transitions that there are, and no others."""

NOBODY: Final[Mapping[SchedClient, None]] = MappingProxyType({})
NOWHERE: Final[Mapping[SchedWorker, None]] = MappingProxyType({})
NO_OPTIONS: Final = TaskOptions()


class Settings(NamedTuple):
    """How the scheduler weighs things; all times are seconds, all sizes bytes."""

    allowed_failures: int = 3
    """A task errs when more workers than this died while they ran it."""
    prefetch: float = 0.02
    """How much work a worker is sent ahead of need, per thread."""
    most_ahead: int = 1000
    """And how many tasks at most, per thread."""
    unknown_duration: float = 0.1
    least_duration: float = 20e-6
    """What even a task that does nothing costs a worker."""
    bandwidth: float = 1e9
    inline_limit: int = 4096
    """Results up to this size ride inside the assignments of their dependents."""
    inline_budget: int = 64 * 2**20
    """Bytes of small results that the scheduler itself keeps."""
    client_budget: int = 64 * 2**20
    """Bytes of small results pushed to each client before it asks."""
    put_off: int = 0
    """So many small results that nobody wants any more may wait for ``Tidy``: of those that come many at a time."""
    story_length: int = 20_000
    stream_length: int = 20_000
    lease_timeout: float = 30.0
    """After which a lease of a semaphore that was not renewed may go to somebody else."""
    idle_prefixes: int = 1000
    """Of how many names that no task bears any more is kept how long their tasks take, about."""


class SchedPrefix:
    """Tasks that share a function name: how many in which state, and how long they take."""

    __slots__ = ("counts", "done", "latest", "mean", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts = [0] * len(STATE_NAMES)
        self.done = 0
        self.latest = 0
        """When its latest task was made, in terms of the tasks' ``order``."""
        self.mean: float | None = None

    @property
    def in_use(self) -> bool:
        """True if there are tasks of this name."""
        return any(self.counts)


class SchedTask(msgspec.Struct, eq=False, gc=False):
    """One task. Mostly empty or equal sets are shared, and never changed: pending tasks come by the million.

    Sets of tasks, workers and clients are dicts without values: they keep their order, so that what the scheduler says
    depends on what it was told alone, and not on where objects lie in memory.

    Python's garbage collector does not look at tasks, which in the process of a user are most of what it would look at.
    So whoever drops a task takes it out of all others: ``Machine`` when it forgets it.
    """

    key: Key
    prefix: SchedPrefix
    order: int
    place: int
    """Its place in line: its own order, or whose place it has taken. Among equals the order counts."""
    state: State = RELEASED
    function: FunctionId | None = None
    """None: data that was scattered, which nothing can recompute."""
    data: bytes = b""
    frames: tuple[Frame, ...] = ()
    options: TaskOptions = NO_OPTIONS
    retries: int = 0
    origin: SchedClient | None = None
    who_wants: Mapping[SchedClient, None] = NOBODY
    dependencies: tuple[SchedTask, ...] = ()
    dependents: dict[SchedTask, None] | None = None
    """Every task that names this one as its dependency, until it is forgotten."""
    waiters: dict[SchedTask, None] | None = None
    """Those of them that still need the data for a run."""
    waiting_on: dict[SchedTask, None] | None = None
    who_has: Mapping[SchedWorker, None] = NOWHERE
    processing_on: SchedWorker | None = None
    run_id: RunId = 0
    estimate: float = 0.0
    suspicious: int = 0
    payload: Payload | None = None
    nbytes: int = 0
    type_name: str = ""
    failure: Failure | None = None
    blamed: Key = ""

    @property
    def needed(self) -> bool:
        """True if anybody still cares for the result."""
        return bool(self.who_wants or self.waiters)

    def __lt__(self, other: SchedTask) -> bool:
        return self.order < other.order

    def __repr__(self) -> str:
        return f"<SchedTask {self.key!r} {STATE_NAMES[self.state]}>"


class SchedWorker:
    """One worker, as the scheduler sees it."""

    __slots__ = (
        "address",
        "available",
        "cpu",
        "done",
        "doubtful",
        "executing",
        "functions",
        "given_up",
        "holds",
        "joined",
        "local_directory",
        "long_running",
        "memory",
        "memory_limit",
        "name",
        "names",
        "nthreads",
        "occupancy",
        "only",
        "pid",
        "processing",
        "putting",
        "recalling",
        "resources",
        "shares",
        "spilled",
        "status",
        "stored",
        "turn",
    )

    def __init__(
        self,
        name: WorkerName,
        address: Address,
        nthreads: int,
        *,
        pid: int = 0,
        memory_limit: int | None = None,
        resources: dict[str, float] | None = None,
        shares: bool = False,
        local_directory: str = "",
        joined: float = 0.0,
    ) -> None:
        self.name = name
        self.address = address
        self.names = frozenset([str(name), address, address.partition("://")[2] or address, host_of(address)])
        """By which it may be named: its name, its address, without the protocol too, and its host."""
        self.nthreads = nthreads
        self.pid = pid
        self.memory_limit = memory_limit
        self.resources = dict(resources or {})
        self.available = dict(self.resources)
        self.joined = joined
        self.shares = shares
        """What is delivered to it all workers of this host see."""
        self.local_directory = local_directory
        self.status = Status.RUNNING
        self.processing: dict[RunId, SchedTask] = {}
        """In the order in which they were assigned."""
        self.long_running: dict[RunId, SchedTask] = {}
        """Those of them that have seceded: they occupy no thread."""
        self.holds: dict[SchedTask, None] = {}
        self.putting: dict[Key, int] = {}
        """Scattered data on its way there that is to stay: the order of the task that each was sent for."""
        self.functions: set[FunctionId] = set()
        self.occupancy = 0.0
        self.recalling: RunId | None = None
        """The recall under way, if any: one at a time."""
        self.given_up: deque[RunId] = deque(maxlen=64)
        """The latest runs that nobody wanted any more while they were under way."""
        self.doubtful = False
        """A run was given up that its thread may be busy with for long: others get tasks first."""
        self.done = 0
        self.executing = 0
        self.memory = 0
        self.stored = 0
        self.turn = 0
        """When it was last given scattered data: the number of that."""
        self.spilled = 0
        self.cpu = 0.0
        self.only: Mapping[SchedWorker, None] = {self: None}

    def __repr__(self) -> str:
        return f"<SchedWorker {self.name!r} {self.status} processing={len(self.processing)}>"


class SchedClient:
    """One connected client and what it holds futures for."""

    __slots__ = ("generation", "id", "let_go", "only", "pushed", "wants")

    def __init__(self, id: str) -> None:
        self.id = id
        self.generation = 0
        """The order of the last task that is older than its latest generation of submissions."""
        self.wants: dict[SchedTask, int] = {}
        """With the bytes of each result that were pushed to it."""
        self.pushed = 0
        self.let_go = 0
        """How many keys it has released or cancelled so far."""
        self.only: Mapping[SchedClient, None] = {self: None}

    def __repr__(self) -> str:
        return f"<SchedClient {self.id} wants={len(self.wants)}>"


@dataclass
class FunctionRecord:
    """A function's pickled bytes, kept while any task of it is known."""

    definition: Payload
    tasks: int = 0
    workers: dict[SchedWorker, None] = field(default_factory=dict)
    """Who has it."""


@dataclass
class Scattering:
    """Data on its way to its first holder; kept here until that one has it."""

    item: DataItem
    targets: set[WorkerName] = field(default_factory=set)


class SchedulerState:
    """Everything, in one place."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tasks: dict[Key, SchedTask] = {}
        self.workers: dict[WorkerName, SchedWorker] = {}
        self.by_address: dict[Address, SchedWorker] = {}
        self.by_any_name: dict[str, dict[SchedWorker, None]] = {}
        self.clients: dict[str, SchedClient] = {}
        self.keeper = SchedClient("fire-and-forget")
        """Wants what is to be computed to its end, whoever lets it go; until then. It is nobody's client."""
        self.prefixes: dict[str, SchedPrefix] = {}
        self.done_before = 0
        """How many tasks were done of the prefixes that have been dropped."""
        self._most_prefixes = settings.idle_prefixes
        self.functions: dict[FunctionId, FunctionRecord] = {}
        self.scattering: dict[Key, Scattering] = {}
        self.retiring: dict[WorkerName, dict[SchedTask, SchedWorker]] = {}
        """Workers on their way out, with what is being copied from them, and where to."""
        self.replicated: dict[SchedTask, None] = {}
        """Tasks of which there may be several copies."""
        self.pinned: dict[SchedTask, None] = {}
        """The same, of which somebody has asked for copies."""
        self.inlined: deque[SchedTask] = deque()
        """Tasks whose small result is kept here, the oldest first, among others of which that was so."""
        self.inlined_count = 0
        self.inlined_bytes = 0
        self.story = Story(settings.story_length)
        self.stream = RunLog(settings.stream_length)
        self.epoch = 0.0
        """Added to ``now``: seconds since 1970."""
        self.now = 0.0
        """When the event that is being handled came, and what it was: for the story."""
        self.stimulus = ""
        self.orders = 0
        self.run_ids = 0
        self.recalls = 0

    def prefix(self, name: str) -> SchedPrefix:
        """The record of this prefix, made when first asked for. Call it for each task that is made."""
        record = self.prefixes.get(name)
        if record is None:
            if len(self.prefixes) >= self._most_prefixes:
                self._drop_idle_prefixes()
            record = self.prefixes[name] = SchedPrefix(name)
        record.latest = self.orders
        return record

    def _drop_idle_prefixes(self) -> None:
        """Keep half of what may be kept of names that are not in use. Twice as many as are then left make the next."""
        keep = self.settings.idle_prefixes // 2
        idle = sorted((p for p in self.prefixes.values() if not p.in_use), key=lambda p: p.latest, reverse=True)
        for prefix in idle[keep:]:
            self.done_before += prefix.done
            del self.prefixes[prefix.name]
        self._most_prefixes = 2 * max(keep, len(self.prefixes))


_Party = TypeVar("_Party", SchedClient, SchedWorker)


MANY: Final = 8
"""Sets of more parties than this are ordered dicts, and changed in place: copies would cost more the more there are."""


def including(parties: Mapping[_Party, None], one: _Party) -> Mapping[_Party, None]:
    """The set with one more in it; a large one is changed."""
    if isinstance(parties, OrderedDict):
        parties[one] = None
        return parties
    if len(parties) < MANY:
        return {**parties, one: None} if parties else one.only
    large = OrderedDict(parties)
    large[one] = None
    return large


def excluding(parties: Mapping[_Party, None], one: _Party) -> Mapping[_Party, None]:
    """The set without one of them; a large one is changed."""
    if isinstance(parties, OrderedDict):
        parties.pop(one, None)
        return parties
    return {other: None for other in parties if other is not one}
