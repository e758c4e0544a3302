"""The scheduler's shell: links in, events to the core, commands out.

Decisions are the core's, processes the supervisor's.

    link ── messages ──▶ session ── event ──▶ core ── commands ──▶ sessions ── messages ──▶ links

A worker that was started by a supervisor is *left* once two things are known: its link has ended (so that its
last reports were read) and the supervisor has said how its process ended (so that the right task is blamed).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from msgspec.structs import replace

from nbcluster.comm.base import Connection, Listener
from nbcluster.comm.transports import listen
from nbcluster.commands import AnyAnswer, AnyCommand, Subscribe
from nbcluster.errors import CommClosedError, TimeoutError
from nbcluster.protocol.calling import raised, returned
from nbcluster.protocol.inspection import Inspected
from nbcluster.protocol.messages import (
    Answered,
    Call,
    CallFailed,
    ClientMessage,
    KeysDone,
    Located,
    Pushed,
    RegisterWorker,
    Stopping,
    Welcome,
    WorkerMessage,
)
from nbcluster.protocol.operating import (
    ClusterOperation,
    OperationDone,
    RestartCluster,
    RestartWorkers,
    Retire,
)
from nbcluster.protocol.payload import Payload, SharedMemory
from nbcluster.protocol.records import Message
from nbcluster.protocol.running import CallOutcome, FunctionRan, RegisterSchedulerPlugin, RunOnScheduler
from nbcluster.scheduler import figures
from nbcluster.scheduler.core import SchedulerCore
from nbcluster.scheduler.events import (
    ClientJoined,
    ClientLeft,
    DropSpares,
    Event,
    Forget,
    FromClient,
    FromWorker,
    RetireWorkers,
    Tick,
    WorkerJoined,
    WorkerLeft,
)
from nbcluster.scheduler.facade import SchedulerFacade
from nbcluster.scheduler.handlers import blocked_types, split_blocked
from nbcluster.scheduler.inspecting import Inspector
from nbcluster.scheduler.outbox import LookLocally, Retired, ToClient, ToWorker
from nbcluster.scheduler.plugins import SchedulerPlugins
from nbcluster.scheduler.side_calls import SchedulerCalls
from nbcluster.scheduler.state import Settings
from nbcluster.snapshot import PrefixView, TaskCounts, TaskRecord, WorkerView
from nbcluster.types import Address, Role, RunId, WorkerName

logger = logging.getLogger("nbcluster.scheduler")

EXIT_GRACE = 2.0
"""Seconds that a lost link waits for the supervisor's word, or the other way round."""

SPARES_INTERVAL = 2.0
"""Seconds between two searches for copies that nobody needs."""
TICK = 1.0
"""Seconds between two looks for what has expired, while somebody waits for it."""

PATIENCE = 0.02
"""Seconds for which what can wait does so: no idle worker is woken for each key that a client lets go of."""

MOST_WAITING = 100
"""Messages for one worker of which the last is not kept waiting."""

INCOMING: Mapping[Role, Any] = {
    Role.CLIENT: ClientMessage,
    Role.CONTROL: Call,
    Role.WORKER: WorkerMessage,
}


FOR_SHELL = frozenset({Call, RunOnScheduler, RegisterSchedulerPlugin, Retire, RestartWorkers, RestartCluster})
"""Messages of clients that are not the core's."""

_ForUserCode = RunOnScheduler | RegisterSchedulerPlugin


class Ports(Protocol):
    """What the scheduler needs of the cluster around it."""

    async def call(self, command: AnyCommand) -> AnyAnswer:
        """Carry out a command."""

    def subscribe(self, push: Callable[[AnyAnswer], None], interval: float) -> Callable[[], None]:
        """Push views after changes; returns the way to stop it."""

    async def operate(self, operation: ClusterOperation) -> dict[str, str]:
        """Do something to workers."""

    def supervised(self, name: WorkerName) -> bool:
        """True if ``worker_exited`` will be called for this worker."""

    def joined(self, name: WorkerName) -> None:
        """A worker has registered."""

    def retired(self, name: WorkerName) -> None:
        """This worker may be stopped: nothing will be lost."""


class SchedulerServer:
    """Serves one cluster's clients, workers and managers on one event loop."""

    def __init__(
        self,
        welcome: Welcome,
        token: bytes,
        ports: Ports,
        settings: Settings | None = None,
        blocked_handlers: Collection[str] = (),
    ) -> None:
        self.core = SchedulerCore(settings)
        self.core.state.epoch = time.time() - time.monotonic()
        self.blocked = blocked_types(blocked_handlers)
        """What clients may not ask."""
        self.welcome = welcome
        """What new clients are told; the cluster fills it in once it knows its addresses."""
        self._token = token
        self._ports = ports
        self.facade = SchedulerFacade(self)
        """What user code that runs here sees of it."""
        self._side_calls = SchedulerCalls(self.facade)
        self.plugins = SchedulerPlugins(self.facade, self.core.state)
        self._listeners: list[Listener] = []
        self._clients: dict[str, _ClientSession] = {}
        self._workers: dict[WorkerName, _WorkerSession] = {}
        self._numbers = 0
        self._spares: asyncio.TimerHandle | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._inspector = Inspector()
        self.shared: SharedMemory | None = None
        """What the cluster's processes share."""
        self.closing = False
        self.changes = 0
        """Counts the events handled: whoever shows views can see whether anything happened."""

    # --- life ---

    async def listen(self, address: Address, **options: Any) -> Address:
        """Accept links at one more address; returns it with the port filled in."""
        listener = await listen(address, token=self._token, incoming=INCOMING, on_connection=self._connected, **options)
        self._listeners.append(listener)
        if self._spares is None:
            self._look_after_memory()
        return listener.address

    def _look_after_memory(self) -> None:
        """Drop spare copies now and then, from the first listener to the end."""
        if self._spares is not None and self.core.replicas.managing and self.core.state.replicated:
            self.handle(DropSpares())
        self._spares = asyncio.get_running_loop().call_later(SPARES_INTERVAL, self._look_after_memory)

    def stop_worker(self, name: WorkerName, reason: str) -> None:
        """Tell a worker to end that nobody here has started."""
        session = self._workers.get(name)
        if session is not None:
            session.send([Stopping(reason)])

    async def close(self, reason: str) -> None:
        """Say good-bye to everybody and close all links. Idempotent."""
        await self.plugins.about_to_close()
        self.closing = True
        self._inspector.close()
        if self._spares is not None:
            self._spares.cancel()
        if self._ticker is not None:
            self._ticker.cancel()
        for listener in self._listeners:
            await listener.close()
        self._listeners.clear()
        sessions: list[_Session] = [*self._clients.values(), *self._workers.values()]
        for session in sessions:
            session.send([Stopping(reason)])
        await self._side_calls.close()
        await self.plugins.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(session.connection.close() for session in sessions))

    # --- what the cluster asks ---

    def handle(self, event: Event) -> None:
        """Run one event through the core and send what it says."""
        commands = self.core.handle(event, time.monotonic())
        self.changes += 1
        if self.core.coordination.ticks and self._ticker is None and not self.closing:
            self._ticker = asyncio.get_running_loop().call_later(TICK, self._tick)
        for command in commands:
            if type(command) is ToWorker:
                worker = self._workers.get(command.name)
                if worker is not None:
                    worker.tell(command.messages, command.can_wait)
            elif type(command) is ToClient:
                client = self._clients.get(command.id)
                if client is not None:
                    client.send(command.messages)
            elif type(command) is Retired:
                self._ports.retired(command.name)
            elif type(command) is LookLocally:
                self._look(command)
        if self.plugins.fresh:
            self.plugins.tell_transitions()

    def _look(self, command: LookLocally) -> None:
        """A client wants to know something of this process."""
        client = self._clients.get(command.id)
        if client is None:
            return
        try:
            answer = self._inspector.see(command.look)
        except ValueError as error:
            client.send([CallFailed(command.request, "ValueError", str(error))])
        else:
            client.send([Inspected(command.request, answer)])

    def _tick(self) -> None:
        self._ticker = None
        if not self.closing:
            self.handle(Tick())

    def worker_exited(
        self, name: WorkerName, pid: int, cause: str, running: frozenset[RunId] = frozenset(), log: str = ""
    ) -> None:
        """The supervisor's word on how a worker's process ended; ``pid`` tells it from its successor."""
        session = self._workers.get(name)
        if session is not None and session.pid == pid:
            session.exited(WorkerLeft(name, running, cause, log))

    def retire(self, names: list[WorkerName]) -> None:
        """Have workers go gently; ``Ports.retired`` is called for each once it may be stopped."""
        self.handle(RetireWorkers(names))

    def forget_all(self, reason: str, msg: str) -> None:
        """Cancel every future and forget every task."""
        self.handle(Forget(reason, msg))
        self.plugins.restarted()

    async def wait_changed(self) -> None:
        """Wait until a worker has joined or left."""
        await self._changed.wait()

    # --- figures ---

    @property
    def worker_views(self) -> list[WorkerView]:
        """The connected workers."""
        return [figures.worker_view(worker) for worker in self.core.state.workers.values()]

    @property
    def task_counts(self) -> TaskCounts:
        """All tasks by state."""
        return figures.task_counts(self.core.state, self.core.placement)

    @property
    def prefix_views(self) -> list[PrefixView]:
        """Tasks by function name."""
        return figures.prefix_views(self.core.state)

    @property
    def occupancy(self) -> float:
        """Seconds of work ahead."""
        return figures.occupancy(self.core.state)

    @property
    def client_count(self) -> int:
        """How many clients are connected; managers do not count."""
        return len(self.core.state.clients)

    def task_stream(self, after: int, limit: int) -> list[TaskRecord]:
        """Completed runs after number ``after``."""
        return figures.task_stream(self.core.state, after, limit)

    # --- links ---

    def _connected(self, connection: Connection) -> None:
        if self.shared is not None:
            connection.share(self.shared)
        if connection.role == Role.WORKER:
            connection.start(_WorkerSession(self, connection))
            return
        self._numbers += 1
        session = _ClientSession(self, connection, f"{connection.role}-{self._numbers}")
        self._clients[session.id] = session
        local = connection.same_host and connection.role == Role.CLIENT
        session.send([self.welcome if local else replace(self.welcome, tls=None)])
        connection.start(session)
        if connection.role == Role.CLIENT:
            self.handle(ClientJoined(session.id))
            self.plugins.client_joined(session.id)

    def client_lost(self, session: _ClientSession) -> None:
        """A client's link has ended."""
        self._clients.pop(session.id, None)
        if session.connection.role == Role.CLIENT:
            self.handle(ClientLeft(session.id))
            self.plugins.client_left(session.id)

    def register(self, session: _WorkerSession, registration: RegisterWorker) -> None:
        """A worker said who it is; one of the same name that was here before is gone."""
        former = self._workers.get(registration.name)
        if former is not None:
            former.connection.abort()
            former.leave(WorkerLeft(registration.name, cause="was replaced by another worker of its name"))
        session.name = registration.name
        session.pid = registration.pid
        session.address = registration.address
        session.supervised = self._ports.supervised(registration.name)
        self._workers[registration.name] = session
        logger.info("Worker %s joined from %s", registration.name, registration.address)
        self.handle(WorkerJoined(registration))
        self._ports.joined(registration.name)
        self.plugins.worker_joined(registration.address)
        self._announce_change()

    def worker_left(self, session: _WorkerSession, event: WorkerLeft) -> None:
        """All is known of how a worker ended."""
        if self._workers.get(event.name) is session:
            del self._workers[event.name]
            if not self.closing:
                logger.info("Worker %s left: %s", event.name, event.cause or "its link ended")
            self.handle(event)
            self.plugins.worker_left(session.address, event.cause)
            self._announce_change()

    def _announce_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def serve(self, session: _ClientSession, message: Call | _ForUserCode | ClusterOperation) -> None:
        """Carry out what is not the core's in a task of its own, and answer."""
        if isinstance(message, Call):
            serve = self._call(session, message)
        elif isinstance(message, (RunOnScheduler, RegisterSchedulerPlugin)):
            serve = self._run(session, message)
        else:
            serve = self._operate(session, message)
        task = asyncio.get_running_loop().create_task(serve)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, session: _ClientSession, call: Call) -> None:
        try:
            if isinstance(call.command, Subscribe):
                session.subscribe(self._ports, call.command.interval)
            answer = await self._ports.call(call.command)
        except Exception as error:
            session.send([CallFailed(call.id, type(error).__name__, str(error))])
            if not isinstance(error, (ValueError, TypeError, RuntimeError)):
                logger.exception("Command %s failed", type(call.command).__name__)
        else:
            session.send([Answered(call.id, answer)])

    async def _operate(self, session: _ClientSession, operation: ClusterOperation) -> None:
        try:
            answer = await self._ports.operate(operation)
        except Exception as error:
            session.send([CallFailed(operation.request, type(error).__name__, str(error))])
            if not isinstance(error, (ValueError, TimeoutError, RuntimeError)):
                logger.exception("%s failed", operation)
        else:
            session.send([OperationDone(operation.request, answer)])

    async def _run(self, session: _ClientSession, message: _ForUserCode) -> None:
        outcome: CallOutcome
        if isinstance(message, RunOnScheduler):
            outcome = await self._side_calls.make(message)
        else:
            try:
                await self.plugins.register(message)
            except Exception as error:
                outcome = raised(error)
            else:
                outcome = returned(None)
        session.send([FunctionRan(message.request, {self.welcome.address: outcome})])


def for_elsewhere(message: Message, live: bool, shared: bool) -> Message:
    """What a party is told that cannot see everything that is here: where a result is, instead of the result.

    Args:
        message: any.
        live: it sees the live objects of this process.
        shared: it sees the shared memory of this host.
    """
    if isinstance(message, KeysDone):
        items = [replace(item, payload=None) if _hidden(item.payload, live, shared) else item for item in message.items]
        return replace(message, items=items)
    if isinstance(message, Located):
        # What nobody holds any more but shared memory is sent from there.
        where = [
            replace(item, payload=None) if item.holders and _hidden(item.payload, live, shared) else item
            for item in message.items
        ]
        return Located(message.request, where)
    return message


def _hidden(payload: Payload | None, live: bool, shared: bool) -> bool:
    return payload is not None and ((payload.is_live and not live) or (payload.is_shared and not shared))


class _Session:
    """One accepted link."""

    def __init__(self, server: SchedulerServer, connection: Connection) -> None:
        self.server = server
        self.connection = connection

    def send(self, messages: list[Message]) -> None:
        """Send, unless the link has just ended: then ``lost`` says so."""
        if not self.connection.same_host:
            messages = [for_elsewhere(message, live=False, shared=False) for message in messages]
        elif self.server.welcome.live and not self.connection.in_process:
            messages = [for_elsewhere(message, live=False, shared=True) for message in messages]
        try:
            self.connection.send(*messages)
        except CommClosedError:
            logger.debug("Nothing more reaches %s", self.connection.peer_address)


class _ClientSession(_Session):
    """A client, or a manager: one that only sends calls."""

    def __init__(self, server: SchedulerServer, connection: Connection, id: str) -> None:
        super().__init__(server, connection)
        self.id = id
        self._unsubscribe: Callable[[], None] | None = None
        self._lost = False

    def received(self, messages: list[Any]) -> None:
        """Split calls from what the core handles, in order."""
        if self.server.blocked and self.connection.role == Role.CLIENT:
            messages, refusals = split_blocked(messages, self.server.blocked)
            if refusals:
                logger.error("%s asked for what is blocked: %s", self.id, refusals[0])
                self.send(refusals)
        if any(type(message) in FOR_SHELL for message in messages):
            for message in messages:
                if type(message) in FOR_SHELL:
                    self.server.serve(self, message)
            messages = [message for message in messages if type(message) not in FOR_SHELL]
        if messages:
            if self.server.plugins:
                self.server.plugins.submitted(self.id, messages)
                self.server.plugins.logged(messages)
            self.server.handle(FromClient(self.id, messages))

    def lost(self, error: Exception | None) -> None:
        """The link has ended."""
        self._lost = True
        if self._unsubscribe is not None:
            self._unsubscribe()
        self.server.client_lost(self)

    def subscribe(self, ports: Ports, interval: float) -> None:
        """Replace what this session has subscribed to."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._lost:  # while its call was on the way
            return
        self._unsubscribe = ports.subscribe(lambda answer: self.send([Pushed(answer)]), interval)


class _WorkerSession(_Session):
    """A worker."""

    def __init__(self, server: SchedulerServer, connection: Connection) -> None:
        super().__init__(server, connection)
        self.name: WorkerName | None = None
        self.pid = 0
        self.address: Address = ""
        self.supervised = False
        self._link_lost = False
        self._exit: WorkerLeft | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._waiting: list[Message] = []
        """What the worker need not be woken for."""
        self._saying: asyncio.TimerHandle | None = None

    def tell(self, messages: list[Message], can_wait: bool = False) -> None:
        """Send what the core says, in order. A little that ``can_wait`` does so for what else there is to say."""
        if self._waiting:
            messages = [*self._waiting, *messages]
        if can_wait and len(messages) < MOST_WAITING:
            self._waiting = messages
            if self._saying is None:
                self._saying = asyncio.get_running_loop().call_later(PATIENCE, self._say)
        else:
            self._waiting = []
            self.send(messages)

    def _say(self) -> None:
        self._saying = None
        if self._waiting:
            self.tell([])

    def received(self, messages: list[Any]) -> None:
        """The first message is the registration; the rest is the core's."""
        if self.name is None:
            first = messages[0]
            if not isinstance(first, RegisterWorker):
                logger.error("%s did not register; its link is closed", self.connection.peer_address)
                self.connection.abort()
                return
            self.server.register(self, first)
            messages = messages[1:]
        if messages and self.name is not None:
            if self.server.plugins:
                self.server.plugins.logged(messages)
            self.server.handle(FromWorker(self.name, messages))

    def lost(self, error: Exception | None) -> None:
        """The link has ended: everything the worker reported has been read."""
        self._link_lost = True
        if self.name is None:
            return
        if self._exit is not None or not self.supervised or self.server.closing:
            self.leave(self._exit or WorkerLeft(self.name))
        else:
            self._wait()

    def exited(self, event: WorkerLeft) -> None:
        """The process has ended; its link may still hold reports."""
        self._exit = event
        if self._link_lost:
            self.leave(event)
        else:
            self._wait()

    def _wait(self) -> None:
        if self._grace is None and self.name is not None:
            event = self._exit or WorkerLeft(self.name)
            self._grace = asyncio.get_running_loop().call_later(EXIT_GRACE, self.leave, event)

    def leave(self, event: WorkerLeft) -> None:
        """Report the worker as gone, once."""
        if self._saying is not None:
            self._saying.cancel()
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        self.connection.abort()
        self.server.worker_left(self, event)
