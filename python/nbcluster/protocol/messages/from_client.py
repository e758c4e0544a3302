"""What a client says to the scheduler.

It submits tasks and data, says which results it wants and which no longer, and asks. What it hears of it is in
``to_client``.
"""

from __future__ import annotations

from msgspec import field

from nbcluster.commands import AnyCommand
from nbcluster.protocol.coordination import CoordinationRequest
from nbcluster.protocol.delivery import FindReceivers
from nbcluster.protocol.inspection import ForwardLogs, Hurry, Inspect
from nbcluster.protocol.messages.data import DataItem, MissingData
from nbcluster.protocol.operating import ManageMemory, Rebalance, Replicate, RestartCluster, RestartWorkers, Retire
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.records import Message, Record
from nbcluster.protocol.recreation import DescribeTask
from nbcluster.protocol.running import RegisterSchedulerPlugin, RunFunction, RunOnScheduler
from nbcluster.types import FunctionId, Key


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
    annotations: bytes = b""
    """What else was said of them, pickled: values by name. It means something to plugins of the scheduler at most."""


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
