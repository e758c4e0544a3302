"""What user code that runs in the scheduler sees of tasks, workers and clients: ``dask_scheduler.tasks[key]``.

A view looks at the scheduler's own record whenever it is asked something: so it tells what is so now, costs nothing
before, and can change nothing. Two views of one thing are equal. None of them can be pickled: what they show stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, TypeVar

from nbcluster import process_memory
from nbcluster.protocol.exceptions import describe_payload, traceback_text
from nbcluster.protocol.messages import Killed, Lost, Raised, TaskOptions
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.serialize import load
from nbcluster.scheduler.groups import NO_WORKER, TaskGroup, TaskPrefix, group_name
from nbcluster.scheduler.state import ERRED, QUEUED, STATE_NAMES, SchedClient, SchedTask, SchedWorker
from nbcluster.types import Address, Key, Status, WorkerName, host_of

if TYPE_CHECKING:
    from nbcluster.scheduler.core import SchedulerCore

Record = TypeVar("Record", SchedTask, SchedWorker, SchedClient)

_DEFAULTS = TaskOptions()
_ANNOTATIONS = ("priority", "workers", "retries", "allow_other_workers", "resources")


def annotations_of(options: TaskOptions) -> dict[str, Any]:
    """What was said of a task, and is not as it is by default.

    Raises:
        SerializationError: what its submitter made up cannot be unpickled here.
    """
    if options is _DEFAULTS:
        return {}
    said = {name: getattr(options, name) for name in _ANNOTATIONS}
    found = {name: value for name, value in said.items() if value != getattr(_DEFAULTS, name)}
    if options.annotations:
        found |= load(Payload(options.annotations), "annotations")
    return found


class _View(Generic[Record]):
    """A look at one record."""

    def __init__(self, core: SchedulerCore, record: Record) -> None:
        self._core = core
        self._record: Record = record

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _View) and other._record is self._record

    def __hash__(self) -> int:
        return id(self._record)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} stays where the scheduler runs; return what it tells, such as a name or a number")


class MemoryState(NamedTuple):
    """Bytes of memory: of the whole process, of the results in it, and of the results that it has put on disk."""

    process: int
    managed: int
    spilled: int

    @property
    def managed_total(self) -> int:
        """All results, those on disk included."""
        return self.managed + self.spilled

    @property
    def unmanaged(self) -> int:
        """What the process uses for anything but results."""
        return max(0, self.process - self.managed)


class WorkerState(_View[SchedWorker]):
    """One worker.

    Attributes:
        address: where others fetch its results.
        name: what its cluster calls it.
        nthreads: how many tasks it runs at a time.
        memory_limit: bytes that it may use, or None.
        pid: of its process.
    """

    def __init__(self, core: SchedulerCore, worker: SchedWorker) -> None:
        super().__init__(core, worker)
        self.address: Address = worker.address
        self.name: WorkerName = worker.name
        self.nthreads = worker.nthreads
        self.memory_limit = worker.memory_limit
        self.pid = worker.pid
        self.local_directory = worker.local_directory

    def __repr__(self) -> str:
        return (
            f"<WorkerState {self.address!r}, name: {self.name}, status: {self.status}, "
            f"memory: {len(self._record.holds)}, processing: {len(self._record.processing)}>"
        )

    @property
    def host(self) -> str:
        """The machine that its address names."""
        return host_of(self.address)

    @property
    def status(self) -> Status:
        """Whether it takes tasks."""
        return self._record.status

    @property
    def resources(self) -> dict[str, float]:
        """What it offers to tasks that ask for it."""
        return dict(self._record.resources)

    @property
    def used_resources(self) -> dict[str, float]:
        """What its tasks have of that."""
        worker = self._record
        return {name: amount - worker.available.get(name, 0) for name, amount in worker.resources.items()}

    @property
    def processing(self) -> set[TaskState]:
        """The tasks that it was given and that are not done."""
        return _tasks(self._core, self._record.processing.values())

    @property
    def long_running(self) -> set[TaskState]:
        """Those of them that have given up their thread."""
        return _tasks(self._core, self._record.long_running.values())

    @property
    def has_what(self) -> set[TaskState]:
        """The tasks whose results it holds."""
        return _tasks(self._core, self._record.holds)

    @property
    def actors(self) -> set[TaskState]:
        """The actors that live on it."""
        return _tasks(self._core, (task for task in self._record.holds if task.options.actor))

    @property
    def occupancy(self) -> float:
        """Seconds of work that it has."""
        return self._record.occupancy

    @property
    def nbytes(self) -> int:
        """Bytes of the results that it holds."""
        return sum(task.nbytes for task in self._record.holds)

    @property
    def memory(self) -> MemoryState:
        """What it has told of its memory; of a worker that is a thread here, what this process uses now."""
        worker = self._record
        process = process_memory.resident(worker.pid) if worker.pid == os.getpid() else worker.memory
        return MemoryState(process, worker.stored, worker.spilled)

    @property
    def metrics(self) -> dict[str, Any]:
        """What it measures of itself."""
        worker = self._record
        return {
            "cpu": worker.cpu,
            "memory": self.memory.process,
            "managed_bytes": worker.stored,
            "spilled_bytes": worker.spilled,
            "executing": worker.executing,
        }

    @property
    def last_seen(self) -> float:
        """Seconds since 1970: when the scheduler last did anything. What is gone is not shown any more."""
        return self._core.state.epoch + self._core.state.now

    @property
    def nanny(self) -> None:
        """What supervises it has no address."""

    @property
    def services(self) -> dict[str, int]:
        """It serves nothing but its results."""
        return {}

    @property
    def extra(self) -> dict[str, Any]:
        """It tells no more of itself than this."""
        return {}

    def identity(self) -> dict[str, Any]:
        """All of it that is plain data."""
        return {
            "type": "Worker",
            "id": self.name,
            "name": self.name,
            "host": self.host,
            "nthreads": self.nthreads,
            "memory_limit": self.memory_limit,
            "resources": self.resources,
            "local_directory": self.local_directory,
            "status": str(self.status),
            "pid": self.pid,
            "last_seen": self.last_seen,
            "metrics": self.metrics,
        }


class ClientState(_View[SchedClient]):
    """One client: ``client_key``, and in ``wants_what`` the tasks that it holds futures for."""

    def __init__(self, core: SchedulerCore, client: SchedClient) -> None:
        super().__init__(core, client)
        self.client_key = client.id

    def __repr__(self) -> str:
        return f"<Client {self.client_key!r}>"

    def __str__(self) -> str:
        return self.client_key

    @property
    def last_seen(self) -> float:
        """Seconds since 1970: when the scheduler last did anything. Who is gone is not shown any more."""
        return self._core.state.epoch + self._core.state.now

    @property
    def wants_what(self) -> set[TaskState]:
        """The tasks that it holds futures for."""
        return _tasks(self._core, self._record.wants)


class TaskState(_View[SchedTask]):
    """One task: ``key``, and what is known of it."""

    def __init__(self, core: SchedulerCore, task: SchedTask) -> None:
        super().__init__(core, task)
        self.key: Key = task.key

    def __repr__(self) -> str:
        return f"<TaskState {self.key!r} {self.state}>"

    # --- where it stands ---

    @property
    def state(self) -> str:
        """Where it stands.

        ``released``, ``waiting`` for other tasks, ``queued`` for a worker that has room, ``no-worker`` for one that
        could run it at all, ``processing``, ``memory``, ``erred`` or ``forgotten``.
        """
        task = self._record
        if task.state == QUEUED and not self._core.placement.is_placeable(task):
            return NO_WORKER
        return STATE_NAMES[task.state]

    @property
    def processing_on(self) -> WorkerState | None:
        """The worker that was given it."""
        worker = self._record.processing_on
        return None if worker is None else WorkerState(self._core, worker)

    @property
    def who_has(self) -> set[WorkerState]:
        """The workers that hold its result."""
        return {WorkerState(self._core, worker) for worker in self._record.who_has}

    @property
    def who_wants(self) -> set[ClientState]:
        """The clients that hold futures for it."""
        return {ClientState(self._core, client) for client in self._record.who_wants}

    @property
    def run_id(self) -> int:
        """The number of its latest run; 0 if it was never started."""
        return self._record.run_id

    # --- what it belongs to ---

    @property
    def prefix(self) -> TaskPrefix:
        """The tasks of the same function."""
        return TaskPrefix(self._core, self._record.prefix)

    @property
    def group_key(self) -> str:
        """The name of its group."""
        return group_name(self.key)

    @property
    def group(self) -> TaskGroup:
        """The tasks of the same operation."""
        return TaskGroup(self._core, self.group_key)

    @property
    def dependencies(self) -> set[TaskState]:
        """The tasks whose results it needs."""
        return _tasks(self._core, self._record.dependencies)

    @property
    def dependents(self) -> set[TaskState]:
        """The tasks that need its result."""
        return _tasks(self._core, self._record.dependents or ())

    @property
    def waiting_on(self) -> set[TaskState]:
        """Those of its dependencies that are not in memory."""
        return _tasks(self._core, self._record.waiting_on or ())

    @property
    def waiters(self) -> set[TaskState]:
        """Those of its dependents that are still to be computed."""
        return _tasks(self._core, self._record.waiters or ())

    # --- how it is to be run ---

    @property
    def priority(self) -> tuple[float, int]:
        """The smaller runs first."""
        return (-self._record.options.priority, self._record.order)

    @property
    def retries(self) -> int:
        """How often it may still be tried again."""
        return self._record.retries

    @property
    def suspicious(self) -> int:
        """How many workers have died while they ran it."""
        return self._record.suspicious

    @property
    def annotations(self) -> dict[str, Any]:
        """What was said of it when it was submitted: ``priority``, ``workers`` and so on, and what its user made up."""
        return annotations_of(self._record.options)

    @property
    def worker_restrictions(self) -> set[str]:
        """Names or addresses of the workers that may run it; empty: any."""
        return set(self._record.options.workers or ())

    @property
    def resource_restrictions(self) -> dict[str, float]:
        """What it needs of a worker's resources."""
        return dict(self._record.options.resources)

    @property
    def loose_restrictions(self) -> bool:
        """True if other workers may run it after all."""
        return self._record.options.allow_other_workers

    @property
    def actor(self) -> bool:
        """True if its result is an actor."""
        return self._record.options.actor

    # --- how it ended ---

    @property
    def nbytes(self) -> int:
        """Bytes of its result; -1 if there was none yet."""
        task = self._record
        return task.nbytes if task.type_name else -1

    @property
    def type(self) -> str | None:
        """The type of its result."""
        return self._record.type_name or None

    @property
    def exception_text(self) -> str | None:
        """Why it failed: the type and text of what it raised. Nothing is unpickled for this."""
        return failure_texts(self._record)[0]

    @property
    def traceback_text(self) -> str | None:
        """Where it raised that."""
        return failure_texts(self._record)[1]

    @property
    def exception_blame(self) -> TaskState | None:
        """The task that failed first: itself, or one that it depends on."""
        if self._record.state != ERRED:
            return None
        blamed = self._core.state.tasks.get(self._record.blamed)
        return None if blamed is None else TaskState(self._core, blamed)

    @property
    def erred_on(self) -> set[Address]:
        """Where it has failed the last time, if it is known and that worker is still there."""
        state = self._core.state
        if not isinstance(self._record.failure, Raised):
            return set()
        last = state.stream.last_failure(self.key)
        worker = None if last is None else state.workers.get(last.worker)
        return set() if worker is None else {worker.address}


def failure_texts(task: SchedTask) -> tuple[str | None, str | None]:
    """What a task failed of, and where: of the latter there is nothing if it did not raise."""
    failure = task.failure
    if isinstance(failure, Raised):
        return describe_payload(failure.payload), traceback_text(failure.payload)
    if isinstance(failure, Killed):
        return f"KilledWorker: the worker {failure.worker} {failure.cause}", ""
    if isinstance(failure, Lost):
        return f"WorkerLostData: what it was is lost with the worker {failure.worker or 'that had it'}", ""
    return None, None


def _tasks(core: SchedulerCore, tasks: Iterable[SchedTask]) -> set[TaskState]:
    return {TaskState(core, task) for task in tasks}
