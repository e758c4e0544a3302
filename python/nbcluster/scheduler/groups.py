"""Tasks that belong together, as user code that runs in the scheduler sees them: by prefix, and by group.

A *prefix* is the name of a function, a *group* what one operation on a collection has made: of ``"('sum-d1f1', 0)"``
the prefix is ``sum``, the group ``sum-d1f1``. Nothing is kept up for groups: who asks has all tasks looked through.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from nbcluster.scheduler.state import STATE_NAMES, SchedPrefix, SchedTask
from nbcluster.types import Key, key_prefix

if TYPE_CHECKING:
    from nbcluster.scheduler.core import SchedulerCore

NO_WORKER = "no-worker"
"""The state of a task that is queued, and that no worker could run."""

UNKNOWN = -1.0
"""The duration of what has never been run."""


def group_name(key: Key) -> str:
    """The group that a key belongs to."""
    return key[2 : key.find("'", 2)] if key.startswith("('") else key_prefix(key)


class TaskCollection:
    """Tasks that have a name in common. Its length is how many there are."""

    def __init__(self, core: SchedulerCore, name: str) -> None:
        self._core = core
        self.name = name

    def __repr__(self) -> str:
        counts = ", ".join(f"{state}: {count}" for state, count in self.states.items() if count)
        return f"<{type(self).__name__} {self.name!r}: {counts}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskCollection) and type(other) is type(self) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Elsewhere it is what it told when it was pickled, and no more."""
        return SimpleNamespace, (), {name: getattr(self, name) for name in self._told}

    _told: tuple[str, ...] = ("name", "states", "nbytes_total", "types")

    def __len__(self) -> int:
        return sum(1 for _ in self._tasks())

    def _tasks(self) -> Iterator[SchedTask]:
        raise NotImplementedError

    @property
    def states(self) -> dict[str, int]:
        """How many of them are in which state."""
        counts = dict.fromkeys((*STATE_NAMES, NO_WORKER), 0)
        for task in self._tasks():
            counts[STATE_NAMES[task.state]] += 1
        stuck = sum(1 for task in self._core.placement.unplaceable_tasks() if self._has(task))
        counts["queued"] -= stuck
        counts[NO_WORKER] = stuck
        return counts

    def _has(self, task: SchedTask) -> bool:
        raise NotImplementedError

    @property
    def nbytes_total(self) -> int:
        """Bytes of their results, so far as they are known."""
        return sum(task.nbytes for task in self._tasks())

    @property
    def types(self) -> set[str]:
        """The types of their results."""
        return {task.type_name for task in self._tasks() if task.type_name}


class TaskPrefix(TaskCollection):
    """The tasks of one function."""

    def __init__(self, core: SchedulerCore, record: SchedPrefix) -> None:
        super().__init__(core, record.name)
        self._record = record

    _told = (*TaskCollection._told, "duration_average")

    def __len__(self) -> int:
        return sum(self._record.counts)

    def _has(self, task: SchedTask) -> bool:
        return task.prefix is self._record

    def _tasks(self) -> Iterator[SchedTask]:
        return (task for task in self._core.state.tasks.values() if task.prefix is self._record)

    @property
    def duration_average(self) -> float:
        """Seconds that one takes, the latest counting most; -1 if none was ever run."""
        mean = self._record.mean
        return UNKNOWN if mean is None else mean

    @property
    def groups(self) -> set[TaskGroup]:
        """The groups that they belong to."""
        return {TaskGroup(self._core, name) for name in {group_name(task.key) for task in self._tasks()}}


class TaskGroup(TaskCollection):
    """The tasks of one operation."""

    def _has(self, task: SchedTask) -> bool:
        return group_name(task.key) == self.name

    def _tasks(self) -> Iterator[SchedTask]:
        name = self.name
        return (task for task in self._core.state.tasks.values() if group_name(task.key) == name)

    @property
    def prefix(self) -> TaskPrefix | None:
        """The function that they call; None once nothing is known of them any more."""
        record = self._core.state.prefixes.get(key_prefix(self.name) if "-" in self.name else self.name)
        if record is None:
            record = next((task.prefix for task in self._tasks()), None)
        return None if record is None else TaskPrefix(self._core, record)

    @property
    def dependencies(self) -> set[TaskGroup]:
        """The other groups whose results they need."""
        needed = {group_name(other.key) for task in self._tasks() for other in task.dependencies}
        return {TaskGroup(self._core, name) for name in needed - {self.name}}

    @property
    def done(self) -> bool:
        """True if none of them is still to be computed."""
        states = self.states
        return not any(states[name] for name in ("waiting", "queued", NO_WORKER, "processing"))
