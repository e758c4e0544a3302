"""``Worker``, ``Nanny`` and ``Scheduler``: the parts of a cluster, to join a running one or to build one by hand.

    async with Scheduler() as scheduler, Nanny(scheduler.address, nthreads=2), Client(scheduler.address, ...) as client:

``LocalCluster`` and ``SubprocessCluster`` need none of them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from nbcluster.arguments import check_text
from nbcluster.cluster.keywords import check_plugins
from nbcluster.cluster.member import Member
from nbcluster.cluster.membership import Entry
from nbcluster.cluster.runtime import ClusterRuntime
from nbcluster.cluster.server import Server
from nbcluster.cluster.spec import make_spec
from nbcluster.comm.security import Security, security_of_client
from nbcluster.comm.tasks import TaskOwner
from nbcluster.in_task import WorkerClients
from nbcluster.scheduler.views import WorkerState
from nbcluster.types import Address, Status
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

    def __repr__(self) -> str:
        if self._current is None:
            return super().__repr__()
        state, name = self._current.state, type(self).__name__
        return (
            f"<{name} {self.address!r}, name: {self.name}, status: {self.status}, stored: {len(self._current.data)}, "
            f"running: {state.executing_count}/{self.nthreads}, ready: {len(state.ready)}, "
            f"comm: {len(state.in_flight_tasks)}, waiting: {len(state.waiting)}>"
        )

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
            self._lookout.expect()
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
            ``idle_timeout``, ``plugins`` (these very objects), ``preload``, ``preload_argv``, ``scheduler_file``.

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
        plugins = check_plugins(options.pop("plugins", None), "scheduler")
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
        self._tasks = TaskOwner("Scheduler")
        self._runtime = ClusterRuntime(msgspec.structs.replace(spec, guests=True), plugins=plugins)

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
        if self.status != Status.RUNNING:
            return f"<Scheduler, status: {self.status}>"
        workers, tasks, cores = len(self.workers), len(self.tasks), self.total_nthreads
        return f"<Scheduler {self.address!r}, workers: {workers}, cores: {cores}, tasks: {tasks}>"

    async def _start(self) -> None:
        await self._runtime.start()
        self._stack.push_async_callback(self._runtime.close)
        self._tasks.start(self._end_with_runtime(), "wait for the end")

    async def _end_with_runtime(self) -> None:
        """Others may end it too: a client's ``shutdown()``, an ``idle_timeout``."""
        await self._runtime.closed.wait()
        await self.close()
