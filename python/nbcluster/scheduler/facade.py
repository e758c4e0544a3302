"""What functions that run in the scheduler, and its plugins, see of it: ``dask_scheduler``.

All of it is made when it is looked at, from the scheduler's state, and nothing that is done to it changes that state.
What there is to be done, clients do; but plugins can be added, and events logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

from nbcluster.arguments import NO_DEFAULT
from nbcluster.plugins.base import SchedulerPlugin, check_name, plugin_name
from nbcluster.protocol.metadata import leaves_of, path_of, tree_of
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.serialize import dump
from nbcluster.resident import Resident
from nbcluster.scheduler.groups import TaskGroup, TaskPrefix, group_name
from nbcluster.scheduler.state import STATE_NAMES, SchedTask, SchedWorker
from nbcluster.scheduler.views import ClientState, MemoryState, TaskState, WorkerState
from nbcluster.types import Address, Key, Status, WorkerName, host_of

if TYPE_CHECKING:
    from nbcluster.scheduler.server import SchedulerServer

K = TypeVar("K")
V = TypeVar("V")

SHOWN_STATES = {"queued": "waiting"}
"""The states of a task that have another name for plugins: it is *queued* when it waits for nothing but a worker."""


def shown_move(before: int, after: int) -> tuple[str, str] | None:
    """A transition by the names of its states that plugins are told; None if both have the same."""
    start, finish = (SHOWN_STATES.get(name, name) for name in (STATE_NAMES[before], STATE_NAMES[after]))
    return None if start == finish else (start, finish)


class Transition(NamedTuple):
    """What happened to a task, when (seconds since 1970), and at whose instigation."""

    key: Key
    start: str
    finish: str
    stimulus_id: str
    timestamp: float


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

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class SchedulerFacade(Resident):
    """The scheduler. There is one object for each cluster, so functions can keep things in its attributes.

    Attributes:
        workers: a ``WorkerState`` for each address.
        tasks: a ``TaskState`` for each key.
        clients: a ``ClientState`` for each id.
        task_prefixes: a ``TaskPrefix`` for each name of a function.

    Example:
        >>> client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.workers))
        2
    """

    _called = "the scheduler"

    def __init__(self, server: SchedulerServer) -> None:
        self._server = server
        self._core = core = server.core
        state = core.state
        self.workers: Mapping[Address, WorkerState] = _Seen(lambda: state.by_address, self.worker_state)
        self.tasks: Mapping[Key, TaskState] = _Seen(lambda: state.tasks, self.task_state)
        self.clients: Mapping[str, ClientState] = _Seen(lambda: state.clients, lambda one: ClientState(core, one))
        self.task_prefixes: Mapping[str, TaskPrefix] = _Seen(
            lambda: {name: one for name, one in state.prefixes.items() if one.done or one.in_use},
            lambda one: TaskPrefix(core, one),
        )

    def __repr__(self) -> str:
        return f"<Scheduler {self.address!r}, workers: {len(self.workers)}, tasks: {len(self.tasks)}>"

    def worker_state(self, worker: SchedWorker) -> WorkerState:
        """The view of a worker."""
        return WorkerState(self._core, worker)

    def task_state(self, task: SchedTask) -> TaskState:
        """The view of a task."""
        return TaskState(self._core, task)

    # --- itself ---

    @property
    def address(self) -> Address:
        """Where it is."""
        return self._server.welcome.address

    @property
    def id(self) -> str:
        """The cluster's id."""
        return self._server.welcome.cluster_id

    @property
    def status(self) -> Status:
        """Whether it runs, or is about to end."""
        return Status.CLOSING if self._server.closing else Status.RUNNING

    @property
    def local_directory(self) -> str:
        """A folder for files, inside the cluster's own."""
        return self._server.local_directory

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that it runs on."""
        return self._server.loop

    io_loop = loop

    @property
    def services(self) -> dict[str, int]:
        """The port of its dashboard, if it has one: ``{"dashboard": 8787}``."""
        port = urlsplit(self._server.welcome.dashboard_link).port
        return {} if port is None else {"dashboard": port}

    def identity(self) -> dict[str, Any]:
        """What it is and whom it has."""
        return {
            "type": "Scheduler",
            "id": self.id,
            "address": self.address,
            "services": self.services,
            "n_workers": len(self.workers),
            "total_threads": self.total_nthreads,
            "total_memory": self.total_memory,
            "workers": {address: worker.identity() for address, worker in self.workers.items()},
        }

    # --- workers ---

    def _workers(self) -> list[SchedWorker]:
        return list(self._core.state.workers.values())

    @property
    def running(self) -> set[WorkerState]:
        """The workers that take tasks."""
        return {self.worker_state(worker) for worker in self._workers() if worker.status == Status.RUNNING}

    @property
    def idle(self) -> dict[Address, WorkerState]:
        """Those of them that have a thread without a task."""
        idle = (worker for worker in self._workers() if worker.status == Status.RUNNING and _spare(worker) < 0)
        return {worker.address: self.worker_state(worker) for worker in idle}

    @property
    def idle_task_count(self) -> set[WorkerState]:
        """The same."""
        return set(self.idle.values())

    @property
    def saturated(self) -> set[WorkerState]:
        """The workers that have more tasks than threads."""
        return {self.worker_state(worker) for worker in self._workers() if _spare(worker) > 0}

    @property
    def aliases(self) -> dict[WorkerName, Address]:
        """The addresses of the workers, by name."""
        return {worker.name: worker.address for worker in self._workers()}

    @property
    def host_info(self) -> dict[str, dict[str, Any]]:
        """The machines of the workers: ``nthreads`` and ``addresses`` of these, and when they were ``last-seen``."""
        hosts: dict[str, dict[str, Any]] = {}
        for worker in self._workers():
            unknown = {"nthreads": 0, "addresses": set(), "last-seen": self._core.state.epoch + self._core.state.now}
            host = hosts.setdefault(host_of(worker.address), unknown)
            host["nthreads"] += worker.nthreads
            host["addresses"].add(worker.address)
        return hosts

    @property
    def resources(self) -> dict[str, dict[Address, float]]:
        """How much of each resource the workers offer."""
        found: dict[str, dict[Address, float]] = {}
        for worker in self._workers():
            for name, amount in worker.resources.items():
                found.setdefault(name, {})[worker.address] = amount
        return found

    @property
    def total_nthreads(self) -> int:
        """The threads of all workers."""
        return sum(worker.nthreads for worker in self._workers())

    @property
    def total_memory(self) -> int:
        """Bytes that all workers together may use, those apart that have no limit."""
        return sum(worker.memory_limit or 0 for worker in self._workers())

    @property
    def total_occupancy(self) -> float:
        """Seconds of work ahead."""
        return self._server.occupancy

    @property
    def memory(self) -> MemoryState:
        """Bytes of memory that the workers use together. Those that are threads of one process count once."""
        of_processes = {worker.pid: worker.memory for worker in self.workers.values()}
        return MemoryState(
            sum(memory.process for memory in of_processes.values()),
            sum(worker.stored for worker in self._workers()),
            sum(worker.spilled for worker in self._workers()),
        )

    # --- tasks ---

    @property
    def task_groups(self) -> dict[str, TaskGroup]:
        """A ``TaskGroup`` for each name of an operation, such as ``sum-d1f1``. All tasks are looked through."""
        names = dict.fromkeys(map(group_name, self._core.state.tasks))
        return {name: TaskGroup(self._core, name) for name in names}

    @property
    def queued(self) -> set[TaskState]:
        """The tasks that wait for a worker that has room."""
        stuck = set(self._core.placement.unplaceable_tasks())
        return {self.task_state(task) for task in self._core.placement.queued() if task not in stuck}

    @property
    def unrunnable(self) -> set[TaskState]:
        """The tasks that no worker could run."""
        return set(map(self.task_state, self._core.placement.unplaceable_tasks()))

    @property
    def replicated_tasks(self) -> set[TaskState]:
        """The tasks whose result more than one worker holds."""
        return {self.task_state(task) for task in self._core.state.replicated if len(task.who_has) > 1}

    @property
    def allowed_failures(self) -> int:
        """A task errs when more workers than this have died while they ran it."""
        return self._core.state.settings.allowed_failures

    @property
    def transition_log(self) -> list[Transition]:
        """What happened to tasks, as far back as the story goes."""
        state = self._core.state
        return [
            Transition(key, *move, stimulus, state.epoch + when)
            for when, key, before, after, stimulus in state.story
            if (move := shown_move(before, after)) is not None
        ]

    def story(self, *keys: Key | TaskState) -> list[Transition]:
        """What happened to these tasks."""
        names = {one.key if isinstance(one, TaskState) else one for one in keys}
        return [line for line in self.transition_log if line.key in names]

    # --- plugins and events ---

    @property
    def plugins(self) -> Mapping[str, SchedulerPlugin]:
        """Its plugins, by name."""
        return self._server.plugins.by_name

    def add_plugin(self, plugin: SchedulerPlugin, *, idempotent: bool = False, name: str | None = None) -> None:
        """Have a plugin told of what happens. Unlike ``client.register_plugin`` this does not call its ``start``.

        Args:
            plugin: an object of a class that inherits from ``SchedulerPlugin``.
            idempotent: leave one that has its name in place.
            name: what to call it; by default its own ``name``, or a new one.
        """
        self._server.plugins.add(plugin, plugin_name(plugin) if name is None else check_name(name), once=idempotent)

    def remove_plugin(self, name: str) -> None:
        """Have a plugin told no more.

        Raises:
            ValueError: there is none of this name.
        """
        self._server.plugins.remove(check_name(name))

    @property
    def task_metadata(self) -> dict[Any, Any]:
        """All that ``client.set_metadata`` and ``set_metadata`` have kept: a copy."""
        found: dict[Any, Any] = tree_of(self._core.coordination.metadata.at([]) or [], self._opened)
        return found

    def get_metadata(self, keys: Collection[Any], default: Any = NO_DEFAULT) -> Any:
        """What was kept with ``set_metadata``, of clients too.

        Args:
            keys: the names that lead there, through nested dicts.
            default: what to return if it is not there.

        Raises:
            KeyError: it is not there, and there is no default.
        """
        leaves = self._core.coordination.metadata.at(path_of(keys, "keys"))
        if leaves is None:
            if default is NO_DEFAULT:
                raise KeyError(keys)
            return default
        return tree_of(leaves, self._opened)

    def _opened(self, value: Payload) -> Any:
        return self._server.unpickle(value, "metadata")

    def set_metadata(self, keys: Collection[Any], value: Any) -> None:
        """Keep a small value, as ``client.set_metadata`` does.

        Args:
            keys: the names that lead to it, through nested dicts.
            value: anything that can be pickled.
        """
        path = path_of(keys, "keys")
        self._core.coordination.metadata.put(path, list(leaves_of(value, partial(dump, what="value", in_band=True))))

    def log_event(self, topic: str | Collection[str], msg: Any) -> None:
        """Log something under a topic, or under several: see ``client.log_event``."""
        topics = [topic] if isinstance(topic, str) else list(topic)
        if not all(isinstance(one, str) and one for one in topics):
            raise TypeError(f"topic={topic!r} is neither a non-empty string nor a list of such")
        self._server.log_event(topics, dump(msg, "msg", in_band=True))

    def get_events(self, topic: str | None = None) -> Any:
        """What was logged: see ``client.get_events``."""
        found = {
            name: tuple((event.when, self._server.unpickle(event.value, "event")) for event in events)
            for name, events in self._core.coordination.events(topic).items()
        }
        return found if topic is None else found.get(topic, ())


def _spare(worker: SchedWorker) -> int:
    """How many tasks more it has than threads."""
    return len(worker.processing) - len(worker.long_running) - worker.nthreads
