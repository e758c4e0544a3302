"""What can be asked of a cluster from outside, and the answers: the other half of the schema in ``snapshot``.

The same records serve the ``Cluster`` object, the server's REST handlers, the card and the dashboard; each is
checked by :func:`validate`, once, wherever it came from.
"""

from __future__ import annotations

import msgspec

from nbcluster.arguments import check_whole
from nbcluster.snapshot import ClusterView, LogLine, OwnerView, TaskRecord
from nbcluster.types import WorkerName

MOST_WORKERS = 10_000
"""More workers than this no machine is asked for, nor threads of one worker: it would be busy with nothing else."""


class Command(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="command"):
    """A request to a cluster; its answer's type is named in each docstring."""


class Scale(Command, frozen=True):
    """Have ``n`` workers, and stop adapting. Answer: ``View``."""

    n: int


class StopWorkers(Command, frozen=True):
    """Have these workers no more; what they hold moves to others first. Answer: ``View``."""

    names: list[WorkerName]


class WhoMayGo(Command, frozen=True):
    """Ask which of these workers the scheduler's plugins let go. Answer: ``Workers``."""

    names: list[WorkerName]


class Adapt(Command, frozen=True):
    """Choose the number of workers by the work there is, within limits. Answer: ``View``.

    ``maximum=None`` means no limit but the machine's capacity; times are seconds.
    """

    minimum: int = 0
    maximum: int | None = None
    interval: float = 1.0
    target_duration: float = 5.0
    wait_count: int = 3


class StopAdapting(Command, frozen=True):
    """Keep the workers there are. Answer: ``View``."""


class Restart(Command, frozen=True):
    """Forget all tasks and start all workers afresh. Answer: ``View``."""


class Close(Command, frozen=True):
    """Shut the cluster down. Answer: ``None``, before the connection ends."""

    reason: str = ""


class SetOwner(Command, frozen=True):
    """Tell the cluster on whose behalf it runs, for its views. Answer: ``View``."""

    owner: OwnerView


class GetView(Command, frozen=True):
    """Answer: ``View``."""


class GetLogs(Command, frozen=True):
    """Answer: ``Logs``. ``after``: the number of the last line already seen; ``worker``: of this one only."""

    after: int = 0
    limit: int = 10_000
    worker: WorkerName | None = None
    level: str | None = None


class GetTaskStream(Command, frozen=True):
    """Answer: ``TaskStream``. ``after`` is the number of the last record already seen."""

    after: int = 0
    limit: int = 10_000


class Subscribe(Command, frozen=True):
    """Have a ``View`` pushed after changes, at most every ``interval`` seconds. Answer: ``View``."""

    interval: float = 1.0


class Logs(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Log lines in chronological order."""

    lines: list[LogLine]


class TaskStream(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Completed runs in the order of completion."""

    records: list[TaskRecord]


class Workers(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Some of a cluster's workers."""

    names: list[WorkerName]


class View(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A view of the whole cluster."""

    cluster: ClusterView


AnyCommand = (
    Scale
    | StopWorkers
    | WhoMayGo
    | Adapt
    | StopAdapting
    | Restart
    | Close
    | SetOwner
    | GetView
    | GetLogs
    | GetTaskStream
    | Subscribe
)
AnyAnswer = View | Logs | TaskStream | Workers | None


def validate(command: AnyCommand) -> None:
    """Raise a ``ValueError`` or ``TypeError`` that names the argument, its value and what is allowed."""
    if isinstance(command, Scale):
        check_whole("n", command.n, least=0, most=MOST_WORKERS)
    elif isinstance(command, Adapt):
        check_whole("minimum", command.minimum, least=0, most=MOST_WORKERS)
        if command.maximum is not None:
            check_whole("maximum", command.maximum, least=0)
            if command.maximum < command.minimum:
                raise ValueError(
                    f"maximum={command.maximum} is less than minimum={command.minimum}; "
                    "adapt() needs minimum <= maximum"
                )
        _positive("interval", command.interval)
        _positive("target_duration", command.target_duration)
        check_whole("wait_count", command.wait_count, least=1)
    elif isinstance(command, Subscribe):
        _positive("interval", command.interval)
    elif isinstance(command, (GetLogs, GetTaskStream)):
        check_whole("after", command.after, least=0)
        check_whole("limit", command.limit, least=1)


def within_limits(command: AnyCommand, max_workers: int | None) -> AnyCommand:
    """The command as an administrator allows it: adapting gets a maximum if it has none.

    Raises:
        ValueError, TypeError: an argument is out of range, or more than is allowed.
    """
    validate(command)
    if max_workers is None:
        return command
    allowed = f"is more than the administrator allows: {max_workers} workers per cluster"
    if isinstance(command, Scale) and command.n > max_workers:
        raise ValueError(f"n={command.n} {allowed}")
    if isinstance(command, Adapt):
        if command.minimum > max_workers:
            raise ValueError(f"minimum={command.minimum} {allowed}")
        if command.maximum is None or command.maximum > max_workers:
            return msgspec.structs.replace(command, maximum=max_workers)
    return command


def _positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}={value!r} is not a number of seconds")
    if not 0 < value < float("inf"):
        raise ValueError(f"{name}={value!r} is out of range; give a positive number of seconds")
