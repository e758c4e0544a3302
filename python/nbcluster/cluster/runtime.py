"""A cluster that runs: scheduler, workers, dashboard and logs put together on one event loop.

    ClusterRuntime
      ├── SchedulerServer   tasks, clients
      ├── Crew              workers: supervised processes, or threads
      ├── Adaptive          how many workers, while adapting
      ├── LogBook           what all of them wrote
      └── DashboardActivator

``LocalCluster`` holds one in its own process, ``SubprocessCluster`` and the Jupyter server in a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import pickle
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from nbcluster import capacity as machine
from nbcluster.cluster.adaptive import Adaptive
from nbcluster.cluster.crew import Crew
from nbcluster.cluster.idleness import wait_until_idle
from nbcluster.cluster.introducing import keep_introduced
from nbcluster.cluster.lifetimes import Lifetimes
from nbcluster.cluster.listening import listen_at_port
from nbcluster.cluster.logbook import ClusterLogs
from nbcluster.cluster.observers import Observers, OnView
from nbcluster.cluster.operations import Operations
from nbcluster.cluster.process_crew import ProcessCrew
from nbcluster.cluster.roster import Roster
from nbcluster.cluster.scaling import Load
from nbcluster.cluster.scratch import Scratch
from nbcluster.cluster.shared_memory import share_memory
from nbcluster.cluster.spec import ClusterSpec
from nbcluster.cluster.views import make_view
from nbcluster.comm import scheduler_file
from nbcluster.comm.addresses import TcpAddress
from nbcluster.comm.credentials import ClusterDirectory, read_token_file
from nbcluster.comm.tasks import TaskOwner
from nbcluster.commands import (
    Adapt,
    AnyAnswer,
    AnyCommand,
    Close,
    GetLogs,
    GetTaskStream,
    GetView,
    Logs,
    Restart,
    Scale,
    SetOwner,
    StopAdapting,
    StopWorkers,
    Subscribe,
    TaskStream,
    View,
    WhoMayGo,
    Workers,
    validate,
    within_limits,
)
from nbcluster.dashboard.activation import DashboardActivator
from nbcluster.deadlines import within
from nbcluster.errors import ClusterClosedError, ClusterError, WorkerStartTimeoutError
from nbcluster.plugins.base import SchedulerPlugin
from nbcluster.preloading import Preloads
from nbcluster.protocol.messages import Welcome
from nbcluster.protocol.operating import ClusterOperation
from nbcluster.scheduler.server import SchedulerServer
from nbcluster.scheduler.state import Settings
from nbcluster.snapshot import ClusterView, OwnerView
from nbcluster.store.depot import Depot
from nbcluster.supervisor.launching import Launched
from nbcluster.types import Address, RunId, Status, WorkerName

logger = logging.getLogger("nbcluster.cluster")

START_TIMEOUT = 60.0
"""Seconds that the first workers have to arrive."""


class ClusterRuntime:
    """Everything of one cluster. Started once, closed once.

    Args:
        spec: what it is to be.
        zygote: for its workers, if one was launched already; the cluster's from now on.
    """

    def __init__(
        self, spec: ClusterSpec, zygote: Launched | None = None, plugins: Sequence[tuple[str, SchedulerPlugin]] = ()
    ) -> None:
        self.spec = spec
        self._plugins = plugins
        self.status = Status.CREATED
        self.address: Address = ""
        """What clients and workers are told."""
        self.listening: Address = ""
        """Where it listens, if they are told something else."""
        self.owner: OwnerView | None = None
        self.started = time.time()
        self.closed = asyncio.Event()
        self.depot: Depot | None = None
        """Of shared memory, where the kernel has it."""
        self._stack = contextlib.AsyncExitStack()
        self._zygote = zygote
        self._close_reason = ""
        self.roster = Roster(self)

    # --- life ---

    async def start(self) -> None:
        """Start everything; return when the first workers are there.

        Raises:
            ClusterError: it could not be started; says what failed and what it said.
        """
        self.status = Status.STARTING
        try:
            await self._build()
            await self._wait_for_first_workers()
        except BaseException as error:
            await self.close(f"it could not be started: {error}")
            self.status = Status.FAILED
            raise
        self.status = Status.RUNNING

    async def _build(self) -> None:
        spec, stack = self.spec, self._stack
        agreed = None if spec.token_file is None else read_token_file(Path(spec.token_file))
        self.directory = stack.enter_context(ClusterDirectory(agreed))
        self.token = self.directory.token
        self.tasks = TaskOwner(f"cluster {spec.name}")
        stack.push_async_callback(self.tasks.close)
        shared = str(self.directory.path)
        if not spec.in_process or spec.local_directory is not None:
            self.scratch = await asyncio.to_thread(Scratch, spec.local_directory)
            shared = str(self.scratch.path)
            stack.callback(self.scratch.remove)  # in no thread: there may be none any more when the interpreter ends
        self.logs = ClusterLogs(self.directory.path, spec.log_level)
        stack.push_async_callback(self.logs.close)
        self.server = SchedulerServer(
            Welcome(spec.id, spec.name, "", ""),
            self.token,
            self,
            Settings(allowed_failures=spec.scheduler.allowed_failures),
            spec.blocked_handlers,
        )
        self.server.local_directory = shared
        self.shared_memory = "" if spec.in_process else self._share_memory()
        await self._listen()
        self.dashboard = DashboardActivator(
            spec.dashboard_address,
            self.directory.path,
            cluster_address=self.private_address,
            token=self.token,
            prefix=spec.dashboard_prefix,
            more_addresses=spec.worker_dashboard_address,
        )
        await self.dashboard.start()
        stack.push_async_callback(self.dashboard.close)
        self.server.welcome = Welcome(
            spec.id,
            spec.name,
            self.address,
            self.dashboard.link,
            shared=self.shared_memory,
            live=spec.protocol == "inproc",
            tls=None if spec.tls is None else spec.tls.client,
        )
        self.observers = Observers(self.view, lambda: self.server.changes, self.tasks)
        self.adaptive = Adaptive(self)
        stack.push_async_callback(self.adaptive.close)
        preloads = Preloads(spec.scheduler.preload, spec.scheduler.preload_argv)
        stack.push_async_callback(preloads.stop, self.server.facade)
        await preloads.start(self.server.facade)
        await self._add_plugins(spec.scheduler.plugins)
        self.lifetimes = Lifetimes(spec.workers.lifetime, self.roster.time_is_over)
        stack.callback(self.lifetimes.close)
        self.crew = self._make_crew()
        stack.push_async_callback(self.crew.close)
        await self.crew.start()
        self.scale(spec.n_workers)
        if not spec.guests:
            self.tasks.start(keep_introduced(self.server.core.coordination.metadata, spec), "introduce the cluster")
        if spec.scheduler.scheduler_file is not None:
            self._write_scheduler_file(Path(spec.scheduler.scheduler_file))
        if spec.scheduler.idle_timeout is not None:
            self.tasks.start(self._close_when_idle(spec.scheduler.idle_timeout), "idle timeout")

    async def _add_plugins(self, pickled: bytes) -> None:
        for name, plugin in [*self._plugins, *(pickle.loads(pickled) if pickled else ())]:
            await self.server.plugins.start(plugin, name)

    def _write_scheduler_file(self, path: Path) -> None:
        from nbcluster.client.observing import info_of_view  # a whole client, of which few clusters need anything

        scheduler_file.write(path, info_of_view(self.view()))
        self._stack.callback(path.unlink, missing_ok=True)

    def _make_crew(self) -> Crew:
        if not self.spec.in_process:
            return ProcessCrew(self)
        from nbcluster.cluster.thread_crew import ThreadCrew  # a whole worker, which most clusters have elsewhere
        from nbcluster.in_task import WorkerClients

        return ThreadCrew(self, WorkerClients())

    def take_zygote(self) -> Launched | None:
        """The zygote that was launched early, for whoever asks first."""
        zygote, self._zygote = self._zygote, None
        return zygote

    def _share_memory(self) -> str:
        """Open the depot of shared memory; returns where it is reached: empty if this kernel has none."""
        path = self.directory.socket("store")
        shared = share_memory(path, self.token)
        if shared is None:
            return ""
        self._stack.enter_context(shared.close)
        self.depot, self.server.shared = shared.depot, shared.store
        return str(path)

    async def _listen(self) -> None:
        spec, server = self.spec, self.server
        self._stack.push_async_callback(lambda: server.close(self._close_reason))
        self.inproc_address = await server.listen(f"inproc://{spec.id}")
        self.private_address = await server.listen(f"unix://{self.directory.socket('scheduler')}")
        if spec.protocol == "inproc":
            self.address = self.listening = self.inproc_address
        else:
            self.host, self.listening, also = await listen_at_port(server, spec)
            self.address = spec.scheduler.contact_address or self.listening
            self.directory.publish(self.listening, *also)
        self.directory.publish(self.address, self.private_address)

    async def _wait_for_first_workers(self) -> None:
        patience = self.spec.workers.death_timeout or START_TIMEOUT
        deadline = time.monotonic() + patience
        while len(self.server.worker_views) < len(self.roster.names):
            self._check_first_workers()
            left = deadline - time.monotonic()
            if left <= 0:
                there, wanted = len(self.server.worker_views), len(self.roster.names)
                said = f"death_timeout= gives them longer. {self.logs.tail()}".rstrip()
                raise WorkerStartTimeoutError(there, wanted, patience, said)
            with contextlib.suppress(asyncio.TimeoutError):
                await within(self.server.wait_changed(), min(left, 0.5))

    def _check_first_workers(self) -> None:
        broken = [(n, s) for n, s in self.crew.slots.items() if s.status == Status.BROKEN and s.restarts > 2]
        if broken:
            name, slot = broken[0]
            raise ClusterError(f"worker {name} cannot be started: it {slot.last_exit}. {self.logs.tail()}")

    async def close(self, reason: str = "") -> None:
        """End everything, in the reverse order of its start. Idempotent; all callers wait for the end."""
        if self.status in (Status.CLOSING, Status.CLOSED):
            await self.closed.wait()
            return
        self.status = Status.CLOSING
        self._close_reason = reason or "somebody closed it"
        try:
            if (unused := self.take_zygote()) is not None:
                unused.abandon()
            await self._stack.aclose()
        finally:
            self.status = Status.CLOSED
            self.closed.set()

    # --- commands ---

    async def call(self, command: AnyCommand) -> AnyAnswer:
        """Carry out a command.

        Raises:
            ValueError, TypeError: its arguments are out of range.
            ClusterClosedError: the cluster is closed or closing.
        """
        if self.status not in (Status.STARTING, Status.RUNNING):
            raise ClusterClosedError(f"the cluster {self.spec.name!r} is {self.status}")
        command = within_limits(command, self.spec.max_workers)
        if isinstance(command, GetLogs):
            return Logs(lines=self.logs.lines(command))
        if isinstance(command, GetTaskStream):
            return TaskStream(records=self.server.task_stream(command.after, command.limit))
        if isinstance(command, WhoMayGo):
            return Workers(names=sorted(self.roster.may_go(command.names), key=command.names.index))
        if isinstance(command, Scale):
            await self.adaptive.stop()
            self.scale(command.n)
        elif isinstance(command, StopWorkers):
            self.roster.stop(command.names)
        elif isinstance(command, Adapt):
            self.adaptive.start(command)
        elif isinstance(command, StopAdapting):
            await self.adaptive.stop()
        elif isinstance(command, Restart):
            self.server.forget_all("cluster-restarted", "The cluster was restarted.")
            await self.crew.restart()
        elif isinstance(command, SetOwner):
            self.owner = command.owner
        elif isinstance(command, Close):
            reason = command.reason or "somebody closed it"
            asyncio.get_running_loop().call_soon(self._close_soon, reason)
            return None
        if not isinstance(command, _ASKING):
            self.observers.poke()
        return View(cluster=self.view())

    async def operate(self, operation: ClusterOperation) -> dict[str, str]:
        """Do something to workers that a client has asked for."""
        if self.status not in (Status.STARTING, Status.RUNNING):
            raise ClusterClosedError(f"the cluster {self.spec.name!r} is {self.status}")
        return await Operations(self).carry_out(operation)

    def _close_soon(self, reason: str) -> None:
        """Close once the answer is on its way. The runtime cannot own the task that ends its tasks."""
        self._closing = asyncio.get_running_loop().create_task(self.close(reason))

    async def _close_when_idle(self, timeout: float) -> None:
        await wait_until_idle(lambda: self.server.task_counts, timeout)
        logger.info("The cluster closes: it has had nothing to do for %g s", timeout)
        self._close_soon(f"it had nothing to do for {timeout:g} s (idle_timeout)")

    def subscribe(self, push: Callable[[AnyAnswer], None], interval: float) -> Callable[[], None]:
        """Push views after changes; returns the way to stop it."""
        return self.observers.add(lambda view: push(View(cluster=view)), interval)

    def observe(self, on_view: OnView, interval: float) -> Callable[[], None]:
        """The same, for callers in this process."""
        validate(Subscribe(interval=interval))
        return self.observers.add(on_view, interval)

    # --- workers ---

    def scale(self, n: int) -> None:
        """Have ``n`` workers: the newest ones go first, gently."""
        self.roster.scale(n)

    def worker_address(self, name: WorkerName) -> Address:
        """Where a worker is to listen for its peers: in the cluster's directory, unless others must reach it."""
        spec = self.spec
        if spec.in_process and spec.protocol == "inproc":
            return f"inproc://{spec.id}-{name}"
        if spec.tls is not None:
            return str(TcpAddress(self.host, 0, encrypted=True))
        if spec.host == "127.0.0.1":
            return f"unix://{self.directory.socket(f'w{name}-{secrets.token_hex(3)}')}"
        return f"{spec.protocol}://{spec.host}:0"

    # --- the scheduler's ports, and the crew's ---

    def supervised(self, name: WorkerName) -> bool:
        """True if ``worker_exited`` will be called for this worker."""
        return self.crew.supervised and name in self.crew.slots

    def owns(self, name: WorkerName) -> bool:
        """True if this cluster has a worker of this name, or is about to have one."""
        return name in self.roster.names or name in self.crew.slots

    def joined(self, name: WorkerName) -> None:
        """A worker has registered."""
        self.crew.joined(name)
        if name in self.roster.names:
            self.lifetimes.born(name)
        self.logs.book.set_address(name, self.server.core.state.workers[name].address)
        self.observers.poke()

    def retired(self, name: WorkerName) -> None:
        """Nothing would be lost any more: stop it."""
        self.roster.retired(name)

    def worker_exited(self, name: WorkerName, pid: int, cause: str, running: Iterable[RunId], log: str) -> None:
        """A worker's process ended."""
        self.server.worker_exited(name, pid, cause, frozenset(running), log)
        self.observers.poke()

    # --- views ---

    def load(self) -> Load:
        """How it is doing, for adapting."""
        server = self.server
        return Load.made_of(
            len(self.roster.names),
            self.spec.threads_per_worker,
            server.occupancy,
            server.task_counts,
            server.worker_views,
            self.shared_bytes,
        )

    def view(self) -> ClusterView:
        """The cluster as it is now."""
        return make_view(self)

    @property
    def shared_bytes(self) -> int:
        """Bytes of the data that the cluster's processes share."""
        return 0 if self.depot is None else self.depot.nbytes

    @functools.cached_property
    def _reasonable(self) -> int:
        """To ask the machine takes longer than anything else that a view shows."""
        return int(machine.workers(machine.cpus()).value)

    @property
    def capacity(self) -> int:
        """How many workers this machine can reasonably hold."""
        reasonable = max(self._reasonable, len(self.roster.names))
        most = self.spec.max_workers
        return reasonable if most is None else min(reasonable, most)


_ASKING = (GetLogs, GetTaskStream, GetView, Subscribe)
"""Of these nobody else needs to be told."""
