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
from typing import Any

from msgspec.structs import replace

from nbcluster.beats import until_beat
from nbcluster.comm import serving
from nbcluster.comm.base import Connection, Listener
from nbcluster.comm.transports import listen
from nbcluster.protocol.coordination import LogEvent
from nbcluster.protocol.inspection import Inspected
from nbcluster.protocol.joining import Joining
from nbcluster.protocol.messages import (
    Call,
    CallFailed,
    ClientMessage,
    RegisterClient,
    RegisterWorker,
    Stopping,
    Welcome,
    WorkerMessage,
)
from nbcluster.protocol.payload import Payload, SharedMemory
from nbcluster.scheduler import figures, tidying
from nbcluster.scheduler.core import SchedulerCore
from nbcluster.scheduler.errands import Errand, Errands, Ports
from nbcluster.scheduler.events import (
    ClientJoined,
    ClientLeft,
    DropSpares,
    Event,
    Forget,
    Logged,
    RetireWorkers,
    Tick,
    WorkerJoined,
    WorkerLeft,
)
from nbcluster.scheduler.facade import SchedulerFacade
from nbcluster.scheduler.guests import Guests
from nbcluster.scheduler.handlers import blocked_types, unpickler
from nbcluster.scheduler.inspecting import Inspector
from nbcluster.scheduler.outbox import LookLocally, Retired, ToClient, ToWorker
from nbcluster.scheduler.plugins import SchedulerPlugins
from nbcluster.scheduler.sessions import ClientSession, Session, WorkerSession
from nbcluster.scheduler.state import Settings
from nbcluster.scheduler.tidying import Tidying
from nbcluster.snapshot import PrefixView, TaskCounts, TaskRecord, WorkerView
from nbcluster.types import Address, Role, RunId, WorkerName

logger = logging.getLogger("nbcluster.scheduler")

SPARES_INTERVAL = 2.0
"""Seconds between two searches for copies that nobody needs."""
TICK = 1.0
"""Seconds between two looks for what has expired, while somebody waits for it."""

INCOMING: Mapping[Role, Any] = {
    Role.CLIENT: ClientMessage,
    Role.CONTROL: Call | Joining,
    Role.WORKER: WorkerMessage,
}


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
        self.core = SchedulerCore((settings or Settings())._replace(put_off=tidying.MOST))
        self.core.state.epoch = time.time() - time.monotonic()
        self.blocked = blocked_types(blocked_handlers)
        """What clients may not ask."""
        self.unpickle = unpickler(self.blocked)
        """What opens data of clients for what user code runs here."""
        self.welcome = welcome
        """What new clients are told; the cluster fills it in once it knows its addresses."""
        self._token = token
        self._ports = ports
        self.facade = SchedulerFacade(self)
        """What user code that runs here sees of it."""
        self.plugins = SchedulerPlugins(self.facade, self.core.state, self.unpickle)
        self.guests = Guests(self)
        """Workers from outside."""
        self._errands = Errands(ports, self.facade, self.plugins, self.guests)
        self._listeners: list[Listener] = []
        self.loop: asyncio.AbstractEventLoop
        """That of its links."""
        self._clients: dict[str, ClientSession] = {}
        self._workers: dict[WorkerName, WorkerSession] = {}
        self._numbers = 0
        self._spares: asyncio.TimerHandle | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._tidying = Tidying(self.core, self.handle)
        self._changed = asyncio.Event()
        self._inspector = Inspector()
        self.local_directory = ""
        """For files of user code that runs here; the cluster fills it in."""
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
        serving.serve(listener.address)
        self.loop = asyncio.get_running_loop()
        if self._spares is None:
            self._look_after_memory()
        return listener.address

    def _look_after_memory(self) -> None:
        """Drop spare copies now and then, from the first listener to the end."""
        if self._spares is not None and self.core.replicas.managing and self.core.state.replicated:
            self.handle(DropSpares())
        self._spares = asyncio.get_running_loop().call_later(until_beat(SPARES_INTERVAL), self._look_after_memory)

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
        self._tidying.close()
        for listener in self._listeners:
            serving.serve_no_more(listener.address)
            await listener.close()
        self._listeners.clear()
        sessions: list[Session] = [*self._clients.values(), *self._workers.values()]
        for session in sessions:
            session.send([Stopping(reason)])
        await self._errands.close()
        await self.plugins.close()
        await asyncio.gather(*(session.connection.close() for session in sessions))

    # --- what the cluster asks ---

    def handle(self, event: Event, then: Callable[[], None] | None = None) -> None:
        """Run an event through the core and send what it says; call ``then`` before plugins hear of transitions."""
        commands = self.core.handle(event, time.monotonic())
        self.changes += 1
        if not self.closing:
            self._tidying.look()
            if self.core.coordination.ticks and self._ticker is None:
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
        if then is not None:
            then()
        if self.core.state.story.fresh:
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

    def is_here(self, name: WorkerName) -> bool:
        """True if a worker of this name has registered, and has not left."""
        return name in self._workers

    def knows(self, name: WorkerName) -> bool:
        """True if this name is a worker's, whether it has registered or not."""
        return name in self._workers or self._ports.owns(name)

    def forsake(self, name: WorkerName) -> None:
        """Nobody will say any more how this worker's process ends."""
        session = self._workers.get(name)
        if session is not None:
            session.forsaken()

    def retire(self, names: list[WorkerName]) -> None:
        """Have workers go gently; ``Ports.retired`` is called for each once it may be stopped."""
        self.handle(RetireWorkers(names))

    def forget_all(self, reason: str, msg: str) -> None:
        """Cancel every future and forget every task."""
        self.handle(Forget(reason, msg))
        self.plugins.restarted()

    def log_event(self, topics: list[str], value: Payload) -> None:
        """Log an event on behalf of user code that runs here."""
        event = LogEvent(0, topics, value)
        self.handle(Logged(event))
        self.plugins.logged([event])

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
            connection.start(WorkerSession(self, connection))
            return
        self._numbers += 1
        session = ClientSession(self, connection, f"{connection.role}-{self._numbers}")
        self._clients[session.id] = session
        local = connection.same_host and connection.role == Role.CLIENT
        session.send([self.welcome if local else replace(self.welcome, tls=None)])
        # In the next turn, when that is sent: while we answer what it has said already, it gets ready.
        asyncio.get_running_loop().call_soon(connection.start, session)

    def join(self, session: ClientSession, registration: RegisterClient) -> bool:
        """A client said who it is; False if another one is here by that name."""
        if registration.id in self._clients:
            return False
        del self._clients[session.id]
        session.id = registration.id
        session.joined = True
        self._clients[session.id] = session
        self.handle(ClientJoined(session.id))
        self.plugins.client_joined(session.id)
        return True

    def client_lost(self, session: ClientSession) -> None:
        """A client's link has ended."""
        self._clients.pop(session.id, None)
        self.guests.left(session)
        if session.joined:
            self.handle(ClientLeft(session.id))
            self.plugins.client_left(session.id)

    def register(self, session: WorkerSession, registration: RegisterWorker) -> None:
        """A worker said who it is; one of the same name that was here before is gone."""
        former = self._workers.get(registration.name)
        if former is not None:
            former.connection.abort()
            former.leave(WorkerLeft(registration.name, cause="was replaced by another worker of its name"))
        if registration.shares and self.shared is not None:
            session.connection.same_host = True  # whichever way it came
            session.connection.share(self.shared)
        session.name = registration.name
        session.pid = registration.pid
        session.address = registration.address
        session.supervised = self._ports.supervised(registration.name) or self.guests.supervised(registration.name)
        self._workers[registration.name] = session
        logger.info("Worker %s joined from %s", registration.name, registration.address)
        self.handle(WorkerJoined(registration))
        self._ports.joined(registration.name)
        self.guests.joined(registration)
        self.plugins.worker_joined(registration.address)
        self._announce_change()

    def worker_left(self, session: WorkerSession, event: WorkerLeft) -> None:
        """All is known of how a worker ended."""
        if self._workers.get(event.name) is session:
            del self._workers[event.name]
            if not self.closing:
                logger.info("Worker %s left: %s", event.name, event.cause or "its link ended")
            self.handle(event)
            self.guests.gone(event.name)
            self.plugins.worker_left(session.address, event.cause)
            self._announce_change()

    def _announce_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def serve(self, session: ClientSession, errand: Errand) -> None:
        """Carry out what is not the core's, and answer; what comes too late is answered by the good-bye."""
        if not self.closing:
            self._errands.serve(session, errand)
