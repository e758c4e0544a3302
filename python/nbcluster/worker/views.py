"""What user code that runs on a worker sees of its tasks and its memory: ``get_worker().state`` and so on.

All of it is made when it is asked for, in whatever thread asks; it tells what was so a moment ago, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

from nbcluster.types import Address, Key
from nbcluster.worker.state import READY, STATE_NAMES, WorkerTask

if TYPE_CHECKING:
    from nbcluster.worker.executor import AtWork
    from nbcluster.worker.server import WorkerServer


class TaskState(NamedTuple):
    """One task of a worker, or one result that it holds or fetches."""

    key: Key
    state: str
    """``waiting`` (for data), ``ready``, ``executing``, ``long-running``, ``fetch``, ``flight`` or ``memory``."""
    priority: tuple[float, int] | None = None
    """The smaller runs first; None for what is not to be run here."""
    run_id: int | None = None
    nbytes: int | None = None
    """Of the result, if it is here."""
    dependencies: frozenset[Key] = frozenset()
    waiting_for_data: frozenset[Key] = frozenset()
    """Those of the dependencies that are not here yet."""


class WorkerState:
    """What one worker has to do, and what it holds. Its sets of tasks are those of this moment.

    Attributes:
        nthreads: how many tasks it runs at a time.
        total_resources: what it offers to tasks that ask for ``resources=``.
    """

    def __init__(self, server: WorkerServer) -> None:
        self._server = server
        self.nthreads = server.config.nthreads
        self.total_resources = dict(server.config.resources)

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for task in self.tasks.values():
            counts[task.state] = counts.get(task.state, 0) + 1
        return f"<WorkerState of {self.address!r}: {', '.join(f'{name}: {n}' for name, n in counts.items()) or 'idle'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} stays where the worker runs; return what it tells, such as its tasks")

    @property
    def address(self) -> Address:
        """Where other workers fetch its results."""
        return self._server.address

    @property
    def running(self) -> bool:
        """True if it takes tasks; False while its memory does not allow it."""
        return self._server.pressure is None or not self._server.pressure.paused

    @property
    def tasks(self) -> dict[Key, TaskState]:
        """All that it has to do, fetches and holds, by key."""
        self._server.settle()
        state = self._server.core.state
        found = {key: TaskState(key, "memory", nbytes=nbytes) for key, nbytes in list(state.held.items())}
        for key, fetch in list(state.fetches.items()):
            found[key] = TaskState(key, "flight" if fetch.asked else "fetch")
        at_work = {at.run_id: at for at in self._server.executor.at_work()}
        for run in list(state.runs.values()):
            found[run.task.key] = _seen(run, at_work)
        return found

    def _in_state(self, *names: str) -> set[TaskState]:
        return {task for task in self.tasks.values() if task.state in names}

    @property
    def executing(self) -> set[TaskState]:
        """The tasks that are running."""
        return self._in_state("executing")

    @property
    def long_running(self) -> set[TaskState]:
        """The tasks that have given up their thread: they wait for others, or asked for it."""
        return self._in_state("long-running")

    @property
    def all_running_tasks(self) -> set[TaskState]:
        """Both."""
        return self._in_state("executing", "long-running")

    @property
    def executing_count(self) -> int:
        """How many tasks are running."""
        return len(self.executing)

    @property
    def ready(self) -> list[TaskState]:
        """The tasks that wait for a thread; the next one first."""
        return sorted(self._in_state("ready"), key=lambda task: (task.priority or (0, 0), task.run_id or 0))

    @property
    def waiting(self) -> set[TaskState]:
        """The tasks that wait for data."""
        return self._in_state("waiting")

    @property
    def in_flight_tasks(self) -> set[TaskState]:
        """The results that are on their way here."""
        return self._in_state("flight")

    def story(self, *keys: Key | TaskState) -> list[tuple[Any, ...]]:
        """What happened to these tasks here: when (monotonic seconds), key, run, state before and after."""
        self._server.settle()
        names = {one.key if isinstance(one, TaskState) else one for one in keys}
        lines = self._server.core.state.story.of(*names)
        return [(at.time, at.key, at.run_id, STATE_NAMES[at.before], STATE_NAMES[at.after]) for at in lines]


def _seen(run: WorkerTask, at_work: Mapping[int, AtWork]) -> TaskState:
    task, state = run.task, STATE_NAMES[run.state]
    at = at_work.get(task.run_id)
    if run.state == READY and at is not None:
        state = "long-running" if at.waits else "executing"
    return TaskState(
        task.key,
        state,
        task.priority,
        task.run_id,
        None,
        frozenset(needed.key for needed in task.dependencies),
        frozenset(fetch.key for fetch in list(run.waiting_on or ())),
    )


class MemoryManager:
    """What one worker does about its memory; a share that is False stands for what it does not do."""

    def __init__(self, server: WorkerServer) -> None:
        self._server = server
        self.memory_limit = server.config.memory_limit

    def __reduce__(self) -> NoReturn:
        raise TypeError("a worker's memory_manager stays where it runs; return what it tells, such as memory_limit")

    @property
    def data(self) -> Mapping[Key, Any]:
        """The results that it holds."""
        return self._server.current.data

    @property
    def memory_target_fraction(self) -> float | Literal[False]:
        """Share of the limit that results may take before the coldest go to disk."""
        return self._server.spiller is not None and (self._server.config.memory_target or False)

    @property
    def memory_spill_fraction(self) -> float | Literal[False]:
        """Share of the limit that all of the process may take before results go to disk."""
        return self._server.spiller is not None and (self._server.config.memory_spill or False)

    @property
    def memory_pause_fraction(self) -> float | Literal[False]:
        """Share of the limit above which it takes no more tasks."""
        return self._server.pressure is not None and (self._server.config.memory_pause or False)


class SchedulerAt(NamedTuple):
    """A scheduler, as a worker knows it."""

    address: Address
