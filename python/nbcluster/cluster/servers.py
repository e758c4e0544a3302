"""``Worker``, ``Nanny`` and ``Scheduler``: the parts of a cluster, to join a running one or to build one by hand.

    async with Scheduler() as scheduler, Nanny(scheduler.address, nthreads=2), Client(scheduler.address, ...) as client:

``LocalCluster`` and ``SubprocessCluster`` need none of them.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Collection, Mapping
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import msgspec

from nbcluster.arguments import check_text
from nbcluster.cluster.keywords import check_environment
from nbcluster.cluster.member import Member
from nbcluster.cluster.membership import Entry
from nbcluster.cluster.network import parse_ports
from nbcluster.cluster.runtime import ClusterRuntime
from nbcluster.cluster.server import Server
from nbcluster.cluster.spec import make_spec
from nbcluster.comm.addresses import TcpAddress, parse
from nbcluster.comm.security import Security, security_of_client
from nbcluster.errors import ClusterError
from nbcluster.in_task import WorkerClients
from nbcluster.preloading import Preloads, check_preload
from nbcluster.scheduler.views import WorkerState
from nbcluster.supervisor import launching
from nbcluster.supervisor.forking import Zygote
from nbcluster.supervisor.interpreter import Interpreter
from nbcluster.supervisor.logs import LogBook
from nbcluster.supervisor.plain import PlainStarter
from nbcluster.supervisor.process import Starter
from nbcluster.supervisor.supervisor import Supervisor, WorkerSpec
from nbcluster.types import Address, RunId, Status, WorkerName
from nbcluster.worker.current import CurrentWorker
from nbcluster.worker.server import WorkerServer

logger = logging.getLogger("nbcluster.worker")


class Worker(Member):
    """A worker in this process that joins a running cluster; its tasks run in threads.

    Args:
        address: the scheduler's, e.g. ``cluster.scheduler_address``.
        scheduler_file: a file that tells it, instead; it is waited for.
        nthreads: how many tasks it runs at once; by default as many as there are CPUs.
        name: what it is called; must not be taken.
        memory_limit: as for ``LocalCluster``; ``"auto"`` is the share of the machine's memory that ``nthreads`` is of
            its CPUs.
        resources: what it offers, e.g. ``{"GPU": 1}``.
        local_directory: where it puts what it has no room for in memory.
        silence_logs: level below which records of workers are not logged while it runs.
        security: for a ``tls://`` address.
        host: the address of this machine at which it listens for its peers; ``"0.0.0.0"`` is all of them.
        interface: a network interface, instead of ``host``.
        port: where it listens: a port, a range like ``"9000:9010"`` or a list, of which the first that is free.
        protocol: that of the scheduler's address; for ``inproc://`` also ``"tcp"``.
        contact_address: how its peers reach it, if not at the address at which it listens.
        dashboard_address: where it serves the cluster's dashboard; by default nowhere.
        http_prefix: what the paths of that dashboard begin with.
        death_timeout: seconds within which it must have joined, or a text like ``"30 s"``; by default it waits as long
            as it takes for a scheduler to be there.
        preload, preload_argv, plugins: see ``LocalCluster``; the plugins are these very objects.
        lifetime: seconds, or a text like ``"1 hour"``, after which it goes gently: what it holds moves first.
        lifetime_stagger: so much longer or shorter, at random.
        lifetime_restart: another of its name takes its place.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
        CommError: somebody else's cluster listens there.
        TimeoutError: it could not join in time.

    Example:
        async with Worker(cluster.scheduler_address, nthreads=1, name="extra") as worker:
            await worker.finished()
    """

    address: Address = ""
    """Where its peers reach it."""
    _current: CurrentWorker | None = None
    _server: WorkerServer

    def __getattr__(self, name: str) -> Any:
        """What its tasks see of it is to be seen here too: ``data``, ``state``, ``plugins`` and so on."""
        if name.startswith("_") or self._current is None:
            raise AttributeError(f"{type(self).__name__!r} has no {name!r}, at least not before it has joined")
        return getattr(self._current, name)

    def _start_afresh(self) -> None:
        self._goes(renewing=True)
        self._server.stop("it is started afresh")

    async def _join(self, entry: Entry) -> None:
        config, token = await self._enter(entry)

        async def begin() -> WorkerServer:
            server = self._server = WorkerServer(config, token, clients=WorkerClients(), plugins=self._plugins)
            self._stack.push_async_callback(server.close)
            await server.start()
            self.address, self._current = server.address, server.current
            self._current.belong_to(self)
            await self._joined(os.getpid)
            return server

        async def live(server: WorkerServer) -> None:
            try:
                await server.finished()
                while self._renewing and not self._lookout.ended:
                    self._renewing = False
                    await server.close()
                    server = await begin()
                    await server.finished()
            finally:
                self._close_soon()

        first = await begin()
        self._stack.push_async_callback(self._tasks.close)
        self._tasks.start(live(first), "wait for the end")


class Nanny(Member):
    """Keeps a worker in a process of its own running, as part of a running cluster: what dies is restarted.

    It takes the arguments of ``Worker``, but for ``port``, and these:

    Args:
        env: environment variables for the process.
        worker_port: where the worker listens, as ``port`` of a ``Worker``. A nanny itself listens nowhere.
        listen_address: the same together with ``host``, e.g. ``"tcp://127.0.0.1:9000"``.
        preload_nanny: modules, files or source to run in this process first; see ``LocalCluster``'s ``preload``.
            ``dask_setup`` and ``dask_teardown`` are given this object.
        preload_nanny_argv: further arguments for ``dask_setup``.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
        CommError: somebody else's cluster listens there.
        ClusterError: the worker could not be started; says why.
        TimeoutError: it could not join in time.

    Example:
        async with Nanny(cluster.scheduler_address, nthreads=1) as nanny:
            await nanny.finished()
    """

    supervised = True

    def __init__(
        self,
        address: Address | None = None,
        *,
        env: Mapping[str, str] | None = None,
        worker_port: Any = None,
        listen_address: Address | None = None,
        preload_nanny: str | list[str] | None = None,
        preload_nanny_argv: str | list[str] | None = None,
        **worker_kwargs: Any,
    ) -> None:
        if worker_kwargs.get("port") is not None:
            raise TypeError(
                f"port={worker_kwargs['port']!r} has no meaning here: a nanny listens nowhere; give worker_port="
            )
        ports = parse_ports("worker_port", worker_port)
        if listen_address is not None:
            try:
                listening = parse(check_text("listen_address", listen_address))
            except ValueError as error:
                raise ValueError(f"listen_address={listen_address!r} is not understood: {error}") from None
            if not isinstance(listening, TcpAddress):
                raise ValueError(f"listen_address={listen_address!r} is no address like 'tcp://127.0.0.1:9000'")
            for rival in ("worker_port", "host", "interface", "protocol"):
                if ports if rival == "worker_port" else worker_kwargs.get(rival) is not None:
                    raise ValueError(f"listen_address={listen_address!r} and {rival}= are both given; leave one out")
            ports = [listening.port] if listening.port else []
            worker_kwargs["host"], _, scheme = listening.host, "", "tls" if listening.encrypted else "tcp"
            worker_kwargs["protocol"] = scheme
        super().__init__(address, **{**worker_kwargs, "port": ports or None})
        self._env = check_environment(env)
        self._preloads = Preloads(
            check_preload("preload_nanny", preload_nanny), check_preload("preload_nanny_argv", preload_nanny_argv)
        )
        self._spec: WorkerSpec
        self._supervisor: Supervisor | None = None
        self._exited = asyncio.Event()
        self._last_exit = ""
        """How its worker has ended, and what it said last."""

    @property
    def worker_address(self) -> Address:
        """Where the peers of its worker reach that; empty before it has joined."""
        return self._lookout.address

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that it was told to set for its worker."""
        return dict(self._env)

    def is_alive(self) -> bool:
        """True if its worker's process runs."""
        return self.pid != 0

    @property
    def pid(self) -> int:
        """Of the worker's process; 0 while there is none."""
        slot = None if self._supervisor is None else self._supervisor.slots.get(self.name)
        return 0 if slot is None else slot.pid

    async def _join(self, entry: Entry) -> None:
        config, token = await self._enter(entry)
        if self._plugins:
            config = msgspec.structs.replace(config, plugins=cloudpickle.dumps(self._plugins))
        self._spec = WorkerSpec(msgspec.msgpack.encode(config), token)
        self._stack.push_async_callback(self._preloads.stop, self)
        await self._preloads.start(self)
        self.log = LogBook()
        self._supervisor = supervisor = Supervisor(self._make_starter, self, self.log)
        self._stack.push_async_callback(supervisor.close)
        self._stack.push_async_callback(self._tasks.close)
        await supervisor.open()
        supervisor.start([self.name])
        await self._first_joined()
        supervisor.joined(self.name)
        self._tasks.start(self._live(supervisor), "watch the worker")
        self._tasks.start(self._end_with_cluster(), "wait for the end")

    async def _first_joined(self) -> None:
        """Wait until the first worker has joined. One that ends before would do so again and again."""
        joining = asyncio.ensure_future(self._joined(lambda: self.pid))
        ended = asyncio.ensure_future(self._exited.wait())
        try:
            await asyncio.wait([joining, ended], return_when=asyncio.FIRST_COMPLETED)
            if not joining.done():
                raise ClusterError(f"the worker of {self!r} cannot be started: it {self._last_exit}")
            await joining
        finally:
            joining.cancel()
            ended.cancel()
            await asyncio.wait([joining, ended])

    async def _live(self, supervisor: Supervisor) -> None:
        """From one worker to the next."""
        while True:
            await self._exited.wait()
            self._exited.clear()
            await self._joined(lambda: self.pid, math.inf)
            supervisor.joined(self.name)

    async def _end_with_cluster(self) -> None:
        await self._lookout.wait_ended()
        self._close_soon()

    def _goes(self, *, renewing: bool) -> None:
        super()._goes(renewing=renewing)
        if self._supervisor is not None:
            self._supervisor.expect_end(self.name, restart=renewing)

    def _start_afresh(self) -> None:
        assert self._supervisor is not None
        self._tasks.start(self._supervisor.restart([self.name]), "start afresh")

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
        """Its process ended: the scheduler blames the task that it ran, and the supervisor starts another."""
        self._lookout.tell_ended(pid, cause, running, log)
        self._last_exit = f"{cause}. It said:\n{log}" if log else cause
        self._exited.set()
        if self._is_over and not self._renewing:
            self._close_soon()
        self._is_over = self._renewing = False


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
        options: those of ``scheduler_kwargs``: ``allowed_failures``, ``contact_address``, ``http_prefix``,
            ``idle_timeout``, ``plugins``, ``preload``, ``preload_argv``, ``scheduler_file``.

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
        if protocol is not None and check_text("protocol", protocol).removesuffix("://") == "inproc":
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
    def workers(self) -> Mapping[Address, WorkerState]:
        """The workers that have joined, by address."""
        return self._runtime.server.facade.workers

    def __getattr__(self, name: str) -> Any:
        """What its plugins see of it is to be seen here too: ``tasks``, ``clients``, ``add_plugin`` and so on."""
        if name.startswith("_") or self.status != Status.RUNNING:
            raise AttributeError(f"{type(self).__name__!r} has no {name!r}, at least not while it does not run")
        return getattr(self._runtime.server.facade, name)

    def __repr__(self) -> str:
        return f"<Scheduler {self.address!r}, status: {self.status}>"

    async def _start(self) -> None:
        await self._runtime.start()
        self._stack.push_async_callback(self._runtime.close)

    async def finished(self) -> None:
        """Wait until it has ended, whoever ended it."""
        await self._runtime.closed.wait()
