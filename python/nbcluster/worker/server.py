"""The shell of a worker: moves messages between scheduler, core, threads and peers, and decides nothing.

scheduler ── messages ──▶ events ──▶ core ──▶ commands ──▶ performer: executor, store, peer links
    ▲                       ▲                                 │
    └── messages ◀──────────┴──── outcomes, fetched data ◀────┘
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from nbcluster.beats import until_beat
from nbcluster.comm import tls_contexts
from nbcluster.comm.base import Connection
from nbcluster.comm.descriptors import DescriptorLink
from nbcluster.comm.peers import PeerPool, announce_shortcut, withdraw_shortcut
from nbcluster.comm.tasks import TaskOwner
from nbcluster.deadlines import within
from nbcluster.plugins.base import WorkerPlugin
from nbcluster.preloading import Preloads
from nbcluster.protocol.inspection import ForwardLogs, Look, Seen
from nbcluster.protocol.messages import (
    DataItem,
    DataShared,
    DataTakenAway,
    DefineFunctions,
    ForgetFunctions,
    RegisterWorker,
    Stopping,
    TaskDone,
    TasksDone,
)
from nbcluster.protocol.operating import PauseChanged
from nbcluster.protocol.records import Message
from nbcluster.protocol.running import RunCall
from nbcluster.store.memory import MemoryStore
from nbcluster.store.shared import SharedStore
from nbcluster.types import Address, Key
from nbcluster.worker.actors import ActorHost
from nbcluster.worker.config import WorkerConfig
from nbcluster.worker.core import WorkerCore
from nbcluster.worker.coroutines import CoroutineLoop
from nbcluster.worker.current import CurrentWorker
from nbcluster.worker.events import (
    Event,
    FromScheduler,
    Outcome,
    RunsEnded,
)
from nbcluster.worker.executor import Executor, Recorder
from nbcluster.worker.functions import FunctionTable
from nbcluster.worker.idle_sharing import IdleSharing
from nbcluster.worker.inspecting import Inspector
from nbcluster.worker.limits import SHARED_AHEAD, make_pressure, make_spiller
from nbcluster.worker.links import connect_to_scheduler, listen_at_first, listen_for_peers
from nbcluster.worker.log_forwarding import LogForwarding
from nbcluster.worker.metrics import Metrics
from nbcluster.worker.output import TaskOutputs
from nbcluster.worker.own_reading import OwnReading
from nbcluster.worker.performer import Performer
from nbcluster.worker.plugins import WorkerPlugins
from nbcluster.worker.ports import ClientFactory
from nbcluster.worker.pressure import MemoryPressure
from nbcluster.worker.runner import Runner
from nbcluster.worker.side_calls import SideCalls
from nbcluster.worker.spilling import Spiller
from nbcluster.worker.transfer import DataServer
from nbcluster.worker.transfer_log import TransferLog

logger = logging.getLogger(__name__)


class WorkerServer:
    """One worker, on the running event loop.

    Args:
        config: what it is told.
        token: the cluster's.
        recorder: is told what each thread runs.
        capture_output: send what tasks print to those who submitted them. Only for a worker that has its
            process to itself: it replaces ``sys.stdout`` and ``sys.stderr``.
        clients: makes the client that its tasks use.
        plugins: with their names; set up before it joins, after those of ``config``.

    Example:
        async with WorkerServer(config, token) as worker:
            reason = await worker.finished()
    """

    def __init__(
        self,
        config: WorkerConfig,
        token: bytes,
        *,
        recorder: Recorder | None = None,
        capture_output: bool = False,
        clients: ClientFactory | None = None,
        plugins: Sequence[tuple[str, WorkerPlugin]] = (),
    ) -> None:
        self.config = config
        self.address: Address = ""
        self.store = MemoryStore()
        self.clients = clients
        self.current = CurrentWorker(self, token)
        """What its tasks see of it."""
        self._token = token
        self._recorder = recorder
        self._capture_output = capture_output
        self._given_plugins = plugins
        self._ssl = None if config.tls is None else tls_contexts.connecting(config.tls)
        self._functions = FunctionTable()
        self._coroutines = CoroutineLoop()
        self.peers = PeerPool(token, ssl=self._ssl)
        self._shared = SharedStore(DescriptorLink(Path(config.shared), token)) if config.shared else None
        self.peers.shared = self._shared
        self.received_log = TransferLog()
        self.data_server = DataServer(
            self.store,
            self._shared,
            self._tell_shared,
            on_request=lambda: self.executor.collect(),
            on_actor=lambda link, message: self._actors.answer(link, message),
        )
        self._owner = TaskOwner(f"worker {config.name}")
        self.outputs: TaskOutputs | None = None
        self.plugins = WorkerPlugins(self.current)
        self._side_calls = SideCalls(self.current, self._tell, self.current.prepare_client)
        """What functions that run on it see of it."""
        self._idle_sharing: IdleSharing | None = None
        self._leave = AsyncExitStack()
        self._stopping = ""
        self._closed = False
        self._finished: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._connection: Connection
        self.executor: Executor
        self._own_reading: OwnReading | None = None
        self._actors: ActorHost
        self.spiller: Spiller | None = None
        self.pressure: MemoryPressure | None = None
        self._perform: Mapping[type, Callable[[Any], None]]
        self._metrics: Metrics
        self._inspector: Inspector
        self._log_forwarding: LogForwarding
        self.core: WorkerCore

    def __repr__(self) -> str:
        return f"<WorkerServer {self.config.name} {self.address} {len(self.store)} results>"

    @property
    def threads_tell(self) -> bool:
        """True if the thread may tell the scheduler what it has computed. It is the only one: see ``main``."""
        return self.config.nthreads == 1 and sys.platform != "win32"

    # --- life ---

    async def start(self) -> None:
        """Listen, connect, register.

        Raises:
            CommError: the scheduler does not answer, or refuses.
            OSError: the address to listen at is taken.
            TimeoutError: it took longer than ``start_timeout``.
        """
        try:
            await within(self._start(), self.config.start_timeout)
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> None:
        config, leave = self.config, self._leave
        if self._shared is not None:
            leave.callback(self._shared.close)
        leave.callback(self.store.clear)
        leave.push_async_callback(self.peers.close)
        leave.push_async_callback(self.data_server.close)
        threads = leave.enter_context(ExitStack())  # they end after the link, which one of them may be reading
        self._connection = connection = await connect_to_scheduler(config, self._token, self._ssl, self._shared)
        leave.push_async_callback(connection.close)
        await self._open_to_peers()
        self.core = WorkerCore(self.address)
        self._make_executor(connection)
        threads.callback(self.executor.join_idle)
        self._let_others_use_it()
        self._let_others_look()
        self._make_performer()
        await self._run_setup_code()
        self._register()
        connection.start(self)
        leave.push_async_callback(self._owner.close)
        self._owner.start(self._measure(), "metrics")
        self.pressure = None if self._connection.in_process else make_pressure(config, self.spiller, self._tell_paused)
        if self.pressure is not None:
            self._watch_memory(self.pressure)

    async def _open_to_peers(self) -> None:
        self.address = self.peers.who = await listen_at_first(self.config, self._listen)
        if self._connection.in_process:
            announce_shortcut(self.address, await self._listen("inproc://"))
            self._leave.callback(withdraw_shortcut, self.address)

    async def _listen(self, address: Address) -> Address:
        listener = await listen_for_peers(self.config, address, self._token, self.data_server.accept)
        self._leave.push_async_callback(listener.close)
        return listener.address

    def _make_executor(self, connection: Connection) -> None:
        """What runs tasks, with what it needs for that: where their output goes, and what makes room for results."""
        config, leave = self.config, self._leave
        if self._capture_output:
            self.outputs = TaskOutputs(lambda outputs: self._tell(*outputs))
            leave.callback(self.outputs.install())
        if not self._connection.in_process:  # else clients and others hold the very objects
            self.spiller = make_spiller(config, self.store, self._shared is not None, self._tell_taken_away)
            if self.spiller is not None:
                leave.push_async_callback(self.spiller.close)
        if self.threads_tell:
            self._own_reading = OwnReading(
                connection, lambda noted: self.executor.note(noted), lambda: self.executor.collect()
            )
        runner = Runner(
            self._functions,
            self._coroutines,
            live=connection.in_process,
            on_task_end=self.outputs.task_ended if self.outputs else None,
            on_large=self.spiller.brake if self.spiller else None,
            worker=self.current,
        )
        self.executor = Executor(
            config.nthreads,
            runner,
            self._runs_ended,
            recorder=self._recorder,
            tell=self._tell_done if self.threads_tell else None,
            reader=self._own_reading,
        )
        connection.allow_threads()

    def _let_others_use_it(self) -> None:
        """What there is beside tasks: actors, functions, plugins. They end after the executor, which they may use."""
        leave = self._leave
        self._actors = ActorHost(self.current, self._coroutines, self.outputs.task_ended if self.outputs else None)
        leave.callback(self._actors.close)
        leave.push_async_callback(self.current.leave)
        leave.callback(self._side_calls.close)
        self.plugins.observe(self.core.state)
        leave.push_async_callback(self.plugins.close)
        leave.callback(self._coroutines.close)
        leave.callback(self.executor.close)

    def _let_others_look(self) -> None:
        """What tells how the worker is: its tasks and threads, its log, its figures; and, idle, what it holds."""
        self._inspector = Inspector(self.core, self.executor)
        self._leave.callback(self._inspector.sampler.close)
        self._log_forwarding = LogForwarding(lambda entry: self._tell(replace(entry, worker=self.address)))
        self._leave.callback(self._log_forwarding.close)
        if self._shared is not None:
            self._idle_sharing = IdleSharing(self.data_server.move, self._is_idle, self._may_share, self._owner)
        self._metrics = Metrics(
            lambda: self.store.nbytes,
            lambda: self.executor.executing,
            lambda: self.store.spilled_nbytes,
            process=not self._connection.in_process,
        )

    def _make_performer(self) -> None:
        performer = Performer(
            self.executor,
            self.store,
            self.peers,
            self.received_log,
            self._inspector.sampler,
            self._idle_sharing,
            self._owner,
            tell=self._tell,
            handle=self._handle,
        )
        self._perform = performer.steps

    async def _run_setup_code(self) -> None:
        """Preloads and plugins: what users have run before there are tasks."""
        preloads = Preloads(self.config.preload, self.config.preload_argv)
        self._leave.push_async_callback(preloads.stop, self.current)
        await preloads.start(self.current)
        configured = pickle.loads(self.config.plugins) if self.config.plugins else ()
        for name, plugin in (*configured, *self._given_plugins):
            await self.plugins.add(plugin, "worker", name)

    def _register(self) -> None:
        config, shares = self.config, self._shared is not None
        self._connection.send(
            RegisterWorker(
                config.name,
                self.address,
                config.nthreads,
                os.getpid(),
                config.memory_limit,
                config.resources,
                shares,
                self.current.place,
            )
        )

    def _tell_paused(self, paused: bool) -> None:
        logger.log(
            logging.WARNING if paused else logging.INFO,
            "Worker %s %s",
            self.config.name,
            "takes no more tasks: its memory is above memory_pause_fraction" if paused else "takes tasks again",
        )
        self._tell(PauseChanged(paused))

    def _watch_memory(self, pressure: MemoryPressure) -> None:
        if not self._connection.closed:
            asyncio.get_running_loop().call_later(until_beat(pressure.look()), self._watch_memory, pressure)

    async def finished(self) -> str:
        """Wait until the scheduler has let the worker go, or is gone. Returns why."""
        return await asyncio.shield(self._finished)

    def stop(self, reason: str) -> None:
        """Have :meth:`finished` return."""
        if not self._finished.done():
            self._finished.set_result(reason)

    async def close(self) -> None:
        """Let everything go; tasks that are running are left to themselves. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.stop("closed")
        await self._leave.aclose()

    async def __aenter__(self) -> WorkerServer:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    # --- in ---

    def received(self, messages: list[Any]) -> None:
        """Messages of the scheduler."""
        self.executor.collect()  # what a thread has told the scheduler, which may refer to it now
        own_reading = self._own_reading
        lend = own_reading is not None and own_reading.is_due(messages, idle=not self.core.state.runs)
        for_core: list[Any] = []
        for message in messages:
            kind = type(message)
            if kind is DefineFunctions:
                self._functions.define(message.functions)
            elif kind is ForgetFunctions:
                self._functions.forget(message.functions)
            elif kind is Look:
                self._tell(Seen(message.request, self._inspector.see(message.look)))
            elif kind is ForwardLogs:
                self._log_forwarding.order(message)
            elif kind is RunCall:
                if for_core:  # it may look at what was said before
                    self._handle(FromScheduler(for_core))
                    for_core = []
                self._side_calls.start(message)
            elif kind is Stopping:
                self._stopping = message.reason
                self.stop(message.reason)
            else:
                for_core.append(message)
        if for_core:
            self._handle(FromScheduler(for_core))
        if own_reading is not None and lend:
            own_reading.lend(lambda: self.executor.is_parked)

    def lost(self, error: Exception | None) -> None:
        """The scheduler is gone, and with it the worker's purpose."""
        self.stop(self._stopping or f"the scheduler is gone ({error or 'it closed the link'})")

    def _runs_ended(self, outcomes: list[Outcome]) -> None:
        if self.outputs is not None:
            self.outputs.flush()  # what a task printed comes before its result
        self._handle(RunsEnded(outcomes))
        if self.core.state.runs:
            self._inspector.sampler.wake()

    def _tell_done(self, done: TaskDone, first: Callable[[], None]) -> bool:
        """Tell the scheduler of a result from the thread that computed it. What the task printed comes before."""
        if self.outputs is not None and self.outputs.pending:
            return False
        return self._connection.send_at_once(TasksDone([done]), first)

    def _is_idle(self) -> bool:
        return not self.executor.executing and not self.executor.queued and not self.data_server.is_sending()

    def _may_share(self, nbytes: int) -> bool:
        limit = self.config.memory_limit
        return not limit or self.store.shared_nbytes + nbytes <= SHARED_AHEAD * limit

    def settle(self) -> None:
        """Somebody looks at what is known, which is to be as of now. From any thread."""
        if self._own_reading is not None and self.executor.unheard:
            self._own_reading.settle()

    def say(self, message: Message) -> None:
        """Tell the scheduler what a task or a function says. From any thread."""
        self._finished.get_loop().call_soon_threadsafe(self._tell, message)

    def _tell(self, *messages: Message) -> None:
        if not self._connection.closed:  # else `lost` is on its way
            self._connection.send(*messages)

    def _tell_shared(self, items: list[DataItem]) -> None:
        self._tell(DataShared(items))
        if self.spiller is not None:
            self.spiller.look()

    def _tell_taken_away(self, key: Key) -> None:
        self._tell(DataTakenAway([key]))

    def forget_loaded_functions(self) -> None:
        """Unpickle functions anew: the modules that they come from have changed."""
        self._functions.reload()

    # --- commands ---

    def _handle(self, event: Event) -> None:
        if self._closed:
            return
        try:
            for command in self.core.handle(event, time.monotonic()):
                self._perform[type(command)](command)
            if self.plugins.fresh:
                self.plugins.tell()
            if self.spiller is not None:
                self.spiller.look()
        except Exception:  # what this worker believes can no longer be trusted: others run its tasks again
            logger.critical("Worker %s ends: it failed over %s", self.config.name, event, exc_info=True)
            self.stop("internal error")
            self._connection.abort()

    # --- beside ---

    async def _measure(self) -> None:
        while not self._connection.closed:
            self.executor.collect()
            metrics = self._metrics.changed()
            if metrics is not None:
                self._connection.send(metrics)
            self.data_server.tidy()
            if self.spiller is not None:
                self.spiller.look()
            await asyncio.sleep(until_beat(self.config.metrics_interval))
