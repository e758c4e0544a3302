"""``Worker``, ``Nanny`` and ``Scheduler``: the parts of a cluster, to join a running one or to build one by hand.

    async with Scheduler() as scheduler, Nanny(scheduler.address, nthreads=2), Client(scheduler.address, ...) as client:

``LocalCluster`` and ``SubprocessCluster`` need none of them.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from nbcluster import capacity
from nbcluster.cluster.keywords import duration, unknown, whole
from nbcluster.cluster.membership import Entry, Lookout, find_entry, new_name
from nbcluster.cluster.runtime import ClusterRuntime
from nbcluster.cluster.scratch import Scratch
from nbcluster.cluster.sizing import check_memory_limit, memory_per_worker
from nbcluster.cluster.spec import check_resources, make_spec
from nbcluster.comm.security import Security, security_of_client
from nbcluster.comm.tasks import TaskOwner
from nbcluster.in_task import WorkerClients
from nbcluster.preloading import check_preload
from nbcluster.snapshot import WorkerView
from nbcluster.supervisor import launching
from nbcluster.supervisor.forking import Zygote
from nbcluster.supervisor.interpreter import Interpreter
from nbcluster.supervisor.logs import LogBook
from nbcluster.supervisor.plain import PlainStarter
from nbcluster.supervisor.process import Starter
from nbcluster.supervisor.supervisor import Supervisor, WorkerSpec
from nbcluster.types import Address, RunId, Status, WorkerName
from nbcluster.worker.config import MEMORY_TARGET, WorkerConfig
from nbcluster.worker.server import WorkerServer

S = TypeVar("S", bound="Server")

START_TIMEOUT = 60.0


class Server(ABC):
    """Something that is started with ``await`` or ``async with``, on the running event loop."""

    def __init__(self) -> None:
        self.status = Status.CREATED
        """``"created"``, ``"starting"``, ``"running"``, ``"closing"``, ``"closed"`` or ``"failed"``."""
        self._stack = AsyncExitStack()
        self._ended = asyncio.Event()

    async def start(self: S) -> S:
        """Start; does nothing if it was started already."""
        if self.status != Status.CREATED:
            return self
        self.status = Status.STARTING
        try:
            await self._start()
        except BaseException:
            await self.close()
            self.status = Status.FAILED
            raise
        self.status = Status.RUNNING
        return self

    @abstractmethod
    async def _start(self) -> None:
        """Do what there is to do; what is pushed on ``_stack`` is undone by ``close``."""

    async def close(self) -> None:
        """End it. Idempotent."""
        if self.status in (Status.CLOSING, Status.CLOSED):
            await self._ended.wait()
            return
        self.status = Status.CLOSING
        try:
            await self._stack.aclose()
        finally:
            self.status = Status.CLOSED
            self._ended.set()

    async def finished(self) -> None:
        """Wait until it has ended, whoever ended it."""
        await self._ended.wait()

    def __await__(self: S) -> Generator[Any, None, S]:
        return self.start().__await__()

    async def __aenter__(self: S) -> S:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()


class _Member(Server):
    """What ``Worker`` and ``Nanny`` have in common."""

    def __init__(
        self,
        address: Address,
        *,
        nthreads: int | None = None,
        name: WorkerName | None = None,
        memory_limit: int | float | str | None = "auto",
        resources: Mapping[str, float] | None = None,
        local_directory: str | Path | None = None,
        security: Security | dict[str, Any] | bool | None = None,
        host: str | None = None,
        death_timeout: float | str | None = None,
        preload: str | list[str] | None = None,
        preload_argv: str | list[str] | None = None,
        **others: object,
    ) -> None:
        super().__init__()
        for other in others:
            raise unknown(type(self).__name__, other, _Member.__init__.__kwdefaults__ or {})
        if not isinstance(address, str):
            raise TypeError(f"address={address!r} is not a scheduler's address like 'tcp://127.0.0.1:8786'")
        if name is not None and (isinstance(name, bool) or not isinstance(name, (int, str))):
            raise TypeError(f"name={name!r} is neither a string nor a whole number")
        cpus = capacity.cpu_count()
        self.nthreads = cpus if nthreads is None else whole("nthreads", nthreads, least=1)
        self.name: WorkerName = new_name() if name is None else name
        limit = check_memory_limit(memory_limit)
        total = int(capacity.memory().value)
        self.memory_limit = (
            int(total * min(1.0, self.nthreads / cpus)) if limit == "auto" else memory_per_worker(limit, total, 1)
        )
        self.resources = check_resources(resources)
        self.scheduler_address = address
        self.security = security_of_client(security)
        self._host = host
        self._local_directory = local_directory
        self._timeout = duration("death_timeout", death_timeout) or START_TIMEOUT
        self._preload = check_preload("preload", preload)
        self._preload_argv = check_preload("preload_argv", preload_argv)
        self._tasks = TaskOwner(f"{type(self).__name__} {self.name}")

    def __repr__(self) -> str:
        where = f"{self.name!r}, {self.scheduler_address!r}"
        return f"<{type(self).__name__}: {where}, status: {self.status}, threads: {self.nthreads}>"

    async def _enter(self, *, in_process: bool) -> tuple[Entry, Lookout, WorkerConfig]:
        entry = find_entry(self.scheduler_address, self.security, self._host)
        lookout = await Lookout.open(entry, self._timeout)
        self._stack.push_async_callback(lookout.close)
        await lookout.check(self.name, in_process=in_process)
        scratch = await asyncio.to_thread(Scratch, self._local_directory)
        self._stack.callback(scratch.remove)
        config = WorkerConfig(
            scheduler=entry.scheduler,
            name=self.name,
            listen=entry.listen,
            nthreads=self.nthreads,
            memory_limit=self.memory_limit,
            memory_target=MEMORY_TARGET if scratch.on_disk else None,
            resources=self.resources,
            tls=entry.tls,
            preload=self._preload,
            preload_argv=self._preload_argv,
            local_directory=str(scratch.path),
            connect_timeout=self._timeout,
        )
        return entry, lookout, config

    async def _close_after(self, ended: Callable[[], Any]) -> None:
        """Close when what it waits for has ended; in no task of its own, for that ends with it."""
        await ended()
        self._closing = asyncio.get_running_loop().create_task(self.close())


class Worker(_Member):
    """A worker in this process that joins a running cluster; its tasks run in threads.

    Args:
        address: the scheduler's, e.g. ``cluster.scheduler_address``.
        nthreads: how many tasks it runs at once; by default as many as there are CPUs.
        name: what it is called; must not be taken.
        memory_limit: as for ``LocalCluster``; ``"auto"`` is the share of the machine's memory that ``nthreads`` is of
            its CPUs.
        resources: what it offers, e.g. ``{"GPU": 1}``.
        local_directory: where it puts what it has no room for in memory.
        security: for a ``tls://`` address.
        host: the address of this machine by which its peers reach it.
        death_timeout: seconds within which the scheduler must answer.
        preload, preload_argv: see ``LocalCluster``.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
        CommError: no cluster of this user listens there.

    Example:
        async with Worker(cluster.scheduler_address, nthreads=1, name="extra") as worker:
            await worker.finished()
    """

    address: Address = ""
    """Where its peers reach it."""

    async def _start(self) -> None:
        entry, lookout, config = await self._enter(in_process=self.scheduler_address.startswith("inproc://"))
        server = WorkerServer(config, entry.token, clients=WorkerClients())
        self._stack.push_async_callback(server.close)
        self._stack.push_async_callback(self._tasks.close)
        await server.start()
        self.address = server.address
        await lookout.wait_for(self.name, self._timeout)
        self._tasks.start(self._close_after(server.finished), "wait for the end")


class Nanny(_Member):
    """Keeps a worker in a process of its own running, as part of a running cluster: what dies is restarted.

    It takes the arguments of ``Worker``, and ``env``: environment variables for the process.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
        CommError: no cluster of this user listens there.
        ClusterError: the worker could not be started; says why.

    Example:
        async with Nanny(cluster.scheduler_address, nthreads=1) as nanny:
            await nanny.finished()
    """

    def __init__(self, address: Address, *, env: Mapping[str, str] | None = None, **keywords: Any) -> None:
        super().__init__(address, **keywords)
        if env is not None and not isinstance(env, Mapping):
            raise TypeError(f"env={env!r} is not a dict of environment variables")
        self._env = {str(name): str(value) for name, value in (env or {}).items()}
        self._spec: WorkerSpec

    @property
    def pid(self) -> int:
        """Of the worker's process; 0 while there is none."""
        slot = self._supervisor.slots.get(self.name)
        return 0 if slot is None else slot.pid

    async def _start(self) -> None:
        entry, lookout, config = await self._enter(in_process=False)
        self._spec = WorkerSpec(msgspec.msgpack.encode(config), entry.token)
        self.log = LogBook()
        self._supervisor = Supervisor(self._make_starter, self, self.log)
        self._stack.push_async_callback(self._supervisor.close)
        self._stack.push_async_callback(self._tasks.close)
        await self._supervisor.open()
        self._supervisor.start([self.name])
        await lookout.wait_for(self.name, self._timeout)
        self._supervisor.joined(self.name)
        self._tasks.start(self._close_after(lookout.wait_ended), "wait for the end")

    def _make_starter(self) -> Starter:
        interpreter = Interpreter.current(self._env)
        return Zygote(interpreter) if launching.AVAILABLE else PlainStarter(interpreter)

    # --- the supervisor's port ---

    def worker_spec(self, name: WorkerName) -> WorkerSpec:
        """What to start."""
        return self._spec

    def worker_limit(self, name: WorkerName) -> int | None:
        """What it may use."""
        return self.memory_limit

    def worker_exited(self, name: WorkerName, pid: int, cause: str, running: frozenset[RunId], log: str) -> None:
        """Its process ended; the supervisor starts another."""


class Scheduler(Server):
    """A scheduler without workers: these join from elsewhere.

    Args:
        host: where it listens, as for ``LocalCluster``.
        port: 0 takes any free port.
        protocol: ``"tcp"`` or ``"tls"``.
        interface: network interface to listen on, instead of ``host``.
        security: with what connections are encrypted.
        dashboard_address: by default it has no dashboard.
        blocked_handlers: what clients may not ask.
        options: those of ``scheduler_kwargs``, e.g. ``idle_timeout``.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
        ClusterError: it could not be started; says why.

    Example:
        async with Scheduler(port=0) as scheduler:
            print(scheduler.address)
    """

    def __init__(
        self,
        *,
        host: str | None = None,
        port: int = 0,
        protocol: str | None = None,
        interface: str | None = None,
        security: Security | bool | None = None,
        dashboard_address: Any = None,
        blocked_handlers: Collection[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if protocol is not None and protocol.removesuffix("://") == "inproc":
            raise ValueError("protocol='inproc' is for LocalCluster(processes=False); give 'tcp' or 'tls'")
        self.security = security_of_client(security)
        spec = make_spec(
            n_workers=0,
            threads_per_worker=1,
            processes=False,
            host=host,
            interface=interface,
            scheduler_port=port,
            protocol=protocol or ("tls" if self.security and self.security.require_encryption else "tcp"),
            security=self.security,
            dashboard_address=dashboard_address,
            blocked_handlers=blocked_handlers,
            scheduler_kwargs=options,
        )
        self._runtime = ClusterRuntime(msgspec.structs.replace(spec, guests=True))

    @property
    def address(self) -> Address:
        """Where workers and clients connect."""
        return self._runtime.address

    @property
    def workers(self) -> dict[Address, WorkerView]:
        """The workers that have joined, by address."""
        return {worker.address: worker for worker in self._runtime.server.worker_views}

    def __repr__(self) -> str:
        return f"<Scheduler {self.address!r}, status: {self.status}>"

    async def _start(self) -> None:
        await self._runtime.start()
        self._stack.push_async_callback(self._runtime.close)

    async def finished(self) -> None:
        """Wait until it has ended, whoever ended it."""
        await self._runtime.closed.wait()
