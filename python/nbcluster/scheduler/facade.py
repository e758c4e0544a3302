"""What functions that run in the scheduler, and its plugins, see of it: ``dask_scheduler``.

All of it is made when it is looked at, from the scheduler's state, and nothing that is done to it changes that state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nbcluster.scheduler.state import STATE_NAMES, SchedTask, SchedWorker
from nbcluster.types import Address, Key, Status, WorkerName

if TYPE_CHECKING:
    from nbcluster.scheduler.server import SchedulerServer

K = TypeVar("K")
V = TypeVar("V")

SHOWN_STATES = {"queued": "waiting", "erred": "error"}
"""The states of a task that have another name outside: it is *queued* when it waits for nothing but a worker."""


def shown_state(state: int) -> str:
    """A state by the name that it has outside of the scheduler."""
    name = STATE_NAMES[state]
    return SHOWN_STATES.get(name, name)


class WorkerState:
    """One worker: ``address``, ``name``, ``nthreads``, ``memory_limit``, ``status``, ``pid``, ``resources``."""

    def __init__(self, worker: SchedWorker) -> None:
        self._worker = worker
        self.address: Address = worker.address
        self.name: WorkerName = worker.name
        self.nthreads = worker.nthreads
        self.memory_limit = worker.memory_limit
        self.pid = worker.pid
        self.resources = dict(worker.resources)

    def __repr__(self) -> str:
        return f"<WorkerState {self.address!r}, name: {self.name}, status: {self.status}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkerState) and other._worker is self._worker

    def __hash__(self) -> int:
        return id(self._worker)

    @property
    def status(self) -> Status:
        """Whether it takes tasks."""
        return self._worker.status

    @property
    def processing(self) -> set[Key]:
        """The keys of the tasks that it was given and that are not done."""
        return {task.key for task in self._worker.processing.values()}

    @property
    def has_what(self) -> set[Key]:
        """The keys of the results that it holds."""
        return {task.key for task in self._worker.holds}

    @property
    def occupancy(self) -> float:
        """Seconds of work that it has."""
        return self._worker.occupancy

    @property
    def nbytes(self) -> int:
        """Bytes of the results that it holds."""
        return self._worker.stored

    @property
    def metrics(self) -> dict[str, Any]:
        """What it measures of itself."""
        worker = self._worker
        return {"memory": worker.memory, "cpu": worker.cpu, "executing": worker.executing}


class TaskState:
    """One task: ``key``, ``prefix``, ``state``, ``nbytes``, ``type``, ``who_has``, ``processing_on``, and so on."""

    def __init__(self, task: SchedTask) -> None:
        self.key: Key = task.key
        self.prefix = task.prefix.name
        self.state = shown_state(task.state)
        self.nbytes = task.nbytes
        self.type = task.type_name
        self.priority = task.options.priority
        self.retries = task.retries
        self.dependencies = {other.key for other in task.dependencies}
        self.dependents = {other.key for other in task.dependents or ()}
        self.who_has = {worker.address for worker in task.who_has}
        self.who_wants = {client.id for client in task.who_wants}
        self.processing_on = None if task.processing_on is None else task.processing_on.address

    def __repr__(self) -> str:
        return f"<TaskState {self.key!r} {self.state}>"


class _Seen(Mapping[K, V], Generic[K, V]):
    """A mapping whose values are made when they are looked at."""

    def __init__(self, source: Callable[[], Mapping[Any, Any]], view: Callable[[Any], V]) -> None:
        self._source = source
        self._view = view

    def __getitem__(self, key: K) -> V:
        return self._view(self._source()[key])

    def __iter__(self) -> Iterator[K]:
        return iter(list(self._source()))

    def __len__(self) -> int:
        return len(self._source())

    def __repr__(self) -> str:
        return repr(dict(self))


class SchedulerFacade:
    """The scheduler. There is one object for each cluster, so functions can keep things in its attributes.

    Attributes:
        workers: a ``WorkerState`` for each address.
        tasks: a ``TaskState`` for each key.
    """

    def __init__(self, server: SchedulerServer) -> None:
        self._server = server
        state = server.core.state
        self.workers: Mapping[Address, WorkerState] = _Seen(lambda: state.by_address, WorkerState)
        self.tasks: Mapping[Key, TaskState] = _Seen(lambda: state.tasks, TaskState)

    def __repr__(self) -> str:
        return f"<Scheduler {self.address!r}, workers: {len(self.workers)}, tasks: {len(self.tasks)}>"

    @property
    def address(self) -> Address:
        """Where it is."""
        return self._server.welcome.address

    @property
    def id(self) -> str:
        """The cluster's id."""
        return self._server.welcome.cluster_id

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that it runs on: this one."""
        return asyncio.get_running_loop()

    @property
    def clients(self) -> list[str]:
        """The ids of the clients that are connected."""
        return list(self._server.core.state.clients)

    @property
    def total_nthreads(self) -> int:
        """The threads of all workers."""
        return sum(worker.nthreads for worker in self._server.core.state.workers.values())

    @property
    def total_occupancy(self) -> float:
        """Seconds of work ahead."""
        return self._server.occupancy

    def identity(self) -> dict[str, Any]:
        """What it is and whom it has."""
        return {
            "type": "Scheduler",
            "id": self.id,
            "address": self.address,
            "workers": {address: {"name": w.name, "nthreads": w.nthreads} for address, w in self.workers.items()},
        }
