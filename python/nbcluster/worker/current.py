"""What a task may know of the worker that it runs on: ``get_worker()``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from nbcluster.arguments import check_resources
from nbcluster.comm.serving import is_served_here
from nbcluster.errors import ClosedClientError, NbclusterError, TimeoutError
from nbcluster.plugins.base import WorkerPlugin, check_name, plugin_name
from nbcluster.protocol.coordination import LogEvent
from nbcluster.protocol.operating import ResourcesChanged
from nbcluster.protocol.serialize import dump, load
from nbcluster.resident import Resident
from nbcluster.types import Address, Key, Status
from nbcluster.worker import context
from nbcluster.worker.folders import OwnFolder
from nbcluster.worker.views import MemoryManager, SchedulerAt, WorkerState

if TYPE_CHECKING:
    from nbcluster.worker.server import WorkerServer

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 30.0


class CurrentWorker(Resident):
    """The worker that runs the current task. There is one for each worker, so tasks can keep things in its attributes.

    Attributes:
        name: its name in the cluster, e.g. ``"0"``.
        id: a text that no other worker has, nor its successor of the same name.
        nthreads: how many tasks it runs at a time.
        scheduler_address: where its scheduler is.
        shared_directory: a folder for files of all workers on its machine; empty if there is none.
        memory_limit: bytes that it may use, or None.
        level: how deep its cluster is nested: 1, unless it was started in a task of another.
        resources: what it offers to tasks that ask for ``resources=``.
        state: its tasks: what runs, waits, is fetched and is held.
        memory_manager: its memory: limit, and at which shares of it something is done.
        scheduler: where its scheduler is: ``scheduler.address``.
        loop: its event loop.
        nanny: None: what supervises it has no address.

    Example:
        >>> def on_which_worker():
        ...     worker = get_worker()
        ...     if not hasattr(worker, "model"):
        ...         worker.model = "loaded once for each worker"
        ...     return worker.name
        >>> client.submit(on_which_worker, workers="0").result()
        0
    """

    _called = "this worker"

    def __init__(self, server: WorkerServer, token: bytes) -> None:
        config = server.config
        self.name = config.name
        self.id = f"Worker-{uuid4()}"
        self.nthreads = config.nthreads
        self.scheduler_address: Address = config.scheduler
        self.shared_directory = config.local_directory
        self._folder = OwnFolder(config.local_directory, self.id)
        self.memory_limit = config.memory_limit
        self.resources = dict(config.resources)
        self.level = config.level
        self.state = WorkerState(server)
        self.memory_manager = MemoryManager(server)
        self.scheduler = SchedulerAt(config.scheduler)
        self.loop = self.io_loop = asyncio.get_running_loop()
        self.nanny: None = None
        self._server = server
        self._token = token
        self._lock = threading.Lock()
        self._client: Any = None
        self._closed = False
        self._outside: object = None

    def __getattr__(self, name: str) -> Any:
        """What the object has besides by which a user made this worker: of a class of theirs, or set from outside."""
        outside = vars(self).get("_outside")
        if outside is not None and not name.startswith("_"):
            with contextlib.suppress(AttributeError):
                return object.__getattribute__(outside, name)
        super().__getattr__(name)

    def belong_to(self, outside: object) -> None:
        """The object by which a user made this worker, in this process: what that has besides, its tasks see too."""
        self._outside = outside

    def __repr__(self) -> str:
        return f"<Worker {self.name!r} {self.address} threads={self.nthreads}>"

    @property
    def local_directory(self) -> str:
        """A folder for files, of its own and removed with it; uploaded files are there. Empty if it has none."""
        return self._folder.path

    @property
    def place(self) -> str:
        """Where that folder is, or would be: it is made when somebody asks for it."""
        return self._folder.place

    @property
    def address(self) -> Address:
        """Where other workers fetch its results."""
        return self._server.address

    contact_address = worker_address = address

    @property
    def status(self) -> Status:
        """Whether it is running, paused for lack of memory, or closed."""
        if self._closed:
            return Status.CLOSED
        return Status.RUNNING if self.state.running else Status.PAUSED

    @property
    def active_threads(self) -> dict[int, Key]:
        """The keys of the tasks that run, by the identity of their thread."""
        self._server.settle()
        runs = self._server.core.state.runs
        at_work = ((at.ident, runs.get(at.run_id)) for at in self._server.executor.at_work() if not at.waits)
        return {ident: run.task.key for ident, run in at_work if run is not None}

    @property
    def active_keys(self) -> set[Key]:
        """The keys of the tasks that run."""
        return set(self.active_threads.values())

    def get_current_task(self) -> Key:
        """The key of the task that asks.

        Raises:
            KeyError: no task asks.

        Example:
            >>> client.submit(lambda: get_worker().get_current_task(), key="who-am-i").result()
            'who-am-i'
        """
        key = context.current_key()
        if key is None:
            raise KeyError("no task runs here: get_current_task() works inside of tasks")
        return key

    def identity(self) -> dict[str, Any]:
        """What it is, as plain data."""
        return {
            "type": "Worker",
            "id": self.id,
            "scheduler": self.scheduler_address,
            "nthreads": self.nthreads,
            "memory_limit": self.memory_limit,
        }

    @property
    def data(self) -> Mapping[Key, Any]:
        """The results that it holds, by key, to be read only. Some may be on disk: reading one loads it."""
        self._server.settle()
        return _Results(self._server)

    def log_event(self, topic: str | Collection[str], msg: Any) -> None:
        """Log something under a topic, or under several: see ``client.log_event``. It does not wait for the scheduler.

        Args:
            topic: its name, or a list of names.
            msg: anything that can be pickled, and is small. To a dict the address of this worker is added.
        """
        if type(msg) is dict:
            msg = {**msg, "worker": self.address}
        topics = [topic] if isinstance(topic, str) else list(topic)
        for one in topics:
            if not isinstance(one, str) or not one:
                raise TypeError(f"topic={topic!r} is neither a non-empty string nor a list of such")
        self._server.say(LogEvent(0, topics, dump(msg, "msg", in_band=True)))

    async def set_resources(self, **resources: float) -> None:
        """Offer more or less than before to tasks that ask for ``resources=``. What runs keeps what it has.

        Args:
            resources: how much of what it offers from now on; what is not named stays.

        Raises:
            TypeError, ValueError: names the resource, its amount and what is allowed.

        Example:
            >>> async def add_gpus(dask_worker):
            ...     await dask_worker.set_resources(GPU=2)
            >>> done = client.run(add_gpus)
        """
        changed = check_resources(resources)
        self.resources.update(changed)
        self.state.total_resources.update(changed)
        self._server.say(ResourcesChanged(changed))

    async def fetch(self, holder: Address, key: Key) -> Any:
        """A result that another worker holds, got from there as it would be for a task; to measure how long that takes.

        Raises:
            CommError: the other worker cannot be reached.
            KeyError: it does not hold it.
        """
        items, _ = await self._server.peers.fetch(holder, [key])
        if not items:
            raise KeyError(key)
        return load(items[0].payload, "data")

    def actor(self, key: Key) -> Any:
        """The object behind an ``Actor``, if it lives here; else None. Only for the methods of other actors."""
        datum = self._server.store.get(key)
        return None if datum is None else vars(datum.load()).get("_instance")

    def make_actor(self, key: Key, instance: Any) -> Any:
        """What the task that made an actor returns."""
        factory = self._server.clients
        if factory is None:
            raise RuntimeError(f"the worker {self.name} was started without a way to make actors")
        return factory.actor(type(instance), self.address, key, instance)

    @property
    def transfer_incoming_log(self) -> deque[dict[str, Any]]:
        """The latest results that it got from other workers, oldest first: who held them, when, which keys.

        ``total`` are the bytes of the results, and ``compressed`` those that went through a link: what is shared is
        not sent.
        """
        return self._server.received_log.entries

    @property
    def transfer_outgoing_log(self) -> deque[dict[str, Any]]:
        """The latest results that others got from it; ``who`` is None for a client."""
        return self._server.data_server.log.entries

    @property
    def plugins(self) -> Mapping[str, Any]:
        """The plugins of this worker, by name."""
        return self._server.plugins.by_name

    async def plugin_add(self, plugin: Any, name: str | None = None) -> dict[str, str]:
        """Set a plugin up here alone: for ``preload=`` and the like.

        Args:
            plugin: an object of a class that inherits from ``WorkerPlugin``. One of its name goes first.
            name: what to call it; by default its own ``name``, or a new one.
        """
        if not isinstance(plugin, WorkerPlugin):
            raise TypeError(f"plugin={plugin!r} is none of a worker; inherit from WorkerPlugin")
        await self._server.plugins.add(plugin, "worker", plugin_name(plugin) if name is None else check_name(name))
        return {"status": "OK"}

    async def plugin_remove(self, name: str) -> dict[str, str]:
        """Tear a plugin down here alone."""
        await self._server.plugins.remove("worker", check_name(name))
        return {"status": "OK"}

    def add_plugin(self, plugin: Any, kind: str, name: str) -> Awaitable[None]:
        """Set a plugin up here. ``client.register_plugin`` does so on all workers."""
        return self._server.plugins.add(plugin, kind, name)

    def remove_plugin(self, kind: str, name: str) -> Awaitable[None]:
        """Tear a plugin down here."""
        return self._server.plugins.remove(kind, name)

    def forward_output(self, on: bool) -> None:
        """Send what is printed here outside of tasks to all clients, or no more: for ``ForwardOutput``."""
        if self._server.outputs is not None:  # else it has no process of its own
            self._server.outputs.forwards_others = on

    def forget_functions(self) -> None:
        """Unpickle functions anew before they are next called: modules have changed."""
        self._server.forget_loaded_functions()

    @property
    def client(self) -> Any:
        """The client that all its tasks share; what ``get_client()`` returns."""
        return self.get_client()

    def get_client(self, timeout: float | None = None) -> Any:
        """The client that all its tasks share; connected when it is first asked for.

        Args:
            timeout: seconds to wait for the connection.

        Raises:
            RuntimeError: the event loop of the scheduler asks, which would wait for itself.
        """
        client = self._client
        if client is not None:
            return client
        if is_served_here(self.scheduler_address):
            raise RuntimeError(
                f"the client of the worker {self.name} is not there yet, and to connect it would block the event loop "
                "that its scheduler runs on; ask for it in a thread first: await asyncio.to_thread(worker.get_client)"
            )
        with self._lock:
            if self._closed:
                raise ClosedClientError(f"The worker {self.name} is closed, and with it the client of its tasks.")
            factory = self._server.clients
            if factory is None:
                raise RuntimeError(f"the worker {self.name} was started without a way to make clients")
            if self._client is None:
                wait = CONNECT_TIMEOUT if timeout is None else timeout
                tls = self._server.config.tls
                self._client = factory.open(self.scheduler_address, self._token, str(self.name), wait, tls)
            return self._client

    def prepare_client(self) -> None:
        """Connect the client of its tasks, for a coroutine on its loop: where others live, that cannot wait for it."""
        if self._server.clients is None or context.is_alone(self):
            return
        try:
            self.get_client()
        except (NbclusterError, OSError, TimeoutError) as error:  # who asks for it is told
            logger.debug("The client of worker %s is not there: %s", self.name, error)

    async def leave(self) -> None:
        """The worker has ended, and with it the client of its tasks. Only for the worker itself."""
        self._closed = True
        self._folder.remove()
        client, self._client = self._client, None
        if client is not None and self._server.clients is not None:
            await self._server.clients.close(client)


class _Results(Mapping[Key, Any]):
    def __init__(self, server: WorkerServer) -> None:
        self._server = server

    def __getitem__(self, key: Key) -> Any:
        datum = self._server.store.get(key)
        if datum is None:
            raise KeyError(key)
        return datum.load()

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._server.store))

    def __len__(self) -> int:
        return len(self._server.store)
