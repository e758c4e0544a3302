"""The links of a scheduler: one session for each client, manager and worker.

A session turns what a link brings into events and errands, in order, and knows what its other end can see.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from msgspec.structs import replace

from nbcluster.comm.base import Connection
from nbcluster.errors import CommClosedError
from nbcluster.protocol.messages import (
    KeysDone,
    Located,
    Pushed,
    RegisterClient,
    RegisterWorker,
    ReleaseKeys,
    SubmitTasks,
    Welcome,
)
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.scheduler.errands import FOR_SHELL, Errand, Ports
from nbcluster.scheduler.events import Event, FromClient, FromWorker, WorkerLeft
from nbcluster.scheduler.handlers import Blocked, split_blocked
from nbcluster.scheduler.plugins import SchedulerPlugins
from nbcluster.types import Address, Role, WorkerName

logger = logging.getLogger("nbcluster.scheduler")

EXIT_GRACE = 2.0
"""Seconds that a lost link waits for the supervisor's word, or the other way round."""

PATIENCE = 0.02
"""Seconds for which what can wait does so: no idle worker is woken for each key that a client lets go of."""

MOST_WAITING = 100
"""Messages for one worker of which the last is not kept waiting."""

MANY_KEYS = 250
"""Whoever says something of so many keys has it handled by itself."""


class Host(Protocol):
    """What sessions need of their scheduler."""

    welcome: Welcome
    plugins: SchedulerPlugins
    blocked: Blocked
    closing: bool

    def handle(self, event: Event, then: Callable[[], None] | None = None) -> None:
        """Run an event through the core; ``then`` is called before plugins hear of transitions."""

    def serve(self, session: ClientSession, errand: Errand) -> None:
        """Carry out what is not the core's, and answer."""

    def join(self, session: ClientSession, registration: RegisterClient) -> bool:
        """A client said who it is; False if another one is here by that name."""

    def client_lost(self, session: ClientSession) -> None:
        """A client's link has ended."""

    def register(self, session: WorkerSession, registration: RegisterWorker) -> None:
        """A worker said who it is."""

    def worker_left(self, session: WorkerSession, event: WorkerLeft) -> None:
        """All is known of how a worker ended."""


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


def portions(messages: list[Any]) -> Iterator[list[Any]]:
    """The same messages, in order; those of a great many keys alone.

    So what the first tasks of a large map lead to is on its way, and others are heard, before the next are looked at;
    and so it is before those are looked at that are let go of, which is not urgent.
    """
    portion: list[Any] = []
    for message in messages:
        if type(message) in (SubmitTasks, ReleaseKeys) and len(message.keys) >= MANY_KEYS:
            if portion:
                yield portion
            yield [message]
            portion = []
        else:
            portion.append(message)
    if portion:
        yield portion


class Session:
    """One accepted link."""

    def __init__(self, host: Host, connection: Connection) -> None:
        self._host = host
        self.connection = connection

    def send(self, messages: list[Message]) -> None:
        """Send, unless the link has just ended: then ``lost`` says so."""
        if not self.connection.same_host:
            messages = [for_elsewhere(message, live=False, shared=False) for message in messages]
        elif self._host.welcome.live and not self.connection.in_process:
            messages = [for_elsewhere(message, live=False, shared=True) for message in messages]
        try:
            self.connection.send(*messages)
        except CommClosedError:
            logger.debug("Nothing more reaches %s", self.connection.peer_address)


class ClientSession(Session):
    """A client, or a manager: one that only sends calls."""

    def __init__(self, host: Host, connection: Connection, id: str) -> None:
        super().__init__(host, connection)
        self.id = id
        self.joined = False
        """A client has said who it is, and the core knows it; managers never do."""
        self._unsubscribe: Callable[[], None] | None = None
        self.is_lost = False
        self._due: deque[list[Any]] = deque()
        """What was received and is to be handled in the next turns of the loop."""

    def received(self, messages: list[Any]) -> None:
        """Handle what a client says: of what takes long, one message in each turn of the loop."""
        waits = bool(self._due)
        if not waits and len(messages) == 1:
            self._take(messages)
            return
        self._due.extend(portions(messages))
        if not waits:
            try:
                self._take(self._due.popleft())
            except Exception:  # which ends the link
                self._due.clear()
                raise
            self._go_on_soon()

    def _go_on_soon(self) -> None:
        if self._due:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._due:  # else the link has ended since
            self._take_next()
            self._go_on_soon()

    def _take_next(self) -> None:
        """What fails here ends the link, as it would if it failed when it came."""
        try:
            self._take(self._due.popleft())
        except Exception as error:
            why = {"message": f"{self.connection!r} is dropped", "exception": error}
            asyncio.get_running_loop().call_exception_handler(why)
            self._due.clear()
            self.connection.abort()

    def _take(self, messages: list[Any]) -> None:
        """Split calls from what the core handles, in order. The first message of a client is its registration."""
        if self.connection.role == Role.CLIENT and not self.joined:
            first, *messages = messages
            if not isinstance(first, RegisterClient) or not self._host.join(self, first):
                peer = self.connection.peer_address
                logger.error("%s did not say who it is, or said it was another client; its link is closed", peer)
                self._due.clear()
                self.connection.abort()
                return
        if self._host.blocked and self.connection.role == Role.CLIENT:
            messages, refusals = split_blocked(messages, self._host.blocked)
            if refusals:
                logger.error("%s asked for what is blocked: %s", self.id, refusals[0])
                self.send(refusals)
        if not FOR_SHELL.isdisjoint(map(type, messages)):
            for message in messages:
                if type(message) in FOR_SHELL:
                    self._host.serve(self, message)
            messages = [message for message in messages if type(message) not in FOR_SHELL]
        if messages:
            event = FromClient(self.id, messages)
            if self._host.plugins:
                self._host.plugins.logged(messages)
                self._host.handle(event, lambda: self._host.plugins.submitted(self.id, messages))
            else:
                self._host.handle(event)

    def lost(self, error: Exception | None) -> None:
        """The link has ended, and all that came is handled."""
        while self._due:
            self._take_next()
        self.is_lost = True
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._host.client_lost(self)

    def subscribe(self, ports: Ports, interval: float) -> None:
        """Replace what this session has subscribed to."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self.is_lost:  # while its call was on the way
            return
        self._unsubscribe = ports.subscribe(lambda answer: self.send([Pushed(answer)]), interval)


class WorkerSession(Session):
    """A worker."""

    def __init__(self, host: Host, connection: Connection) -> None:
        super().__init__(host, connection)
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
            self._host.register(self, first)
            messages = messages[1:]
        if messages and self.name is not None:
            if self._host.plugins:
                self._host.plugins.logged(messages)
            self._host.handle(FromWorker(self.name, messages))

    def lost(self, error: Exception | None) -> None:
        """The link has ended: everything the worker reported has been read."""
        self._link_lost = True
        if self.name is None:
            return
        if self._exit is not None or not self.supervised or self._host.closing:
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

    def forsaken(self) -> None:
        """Nobody will tell how the process ended."""
        self.supervised = False
        if self._link_lost and self.name is not None:
            self.leave(self._exit or WorkerLeft(self.name))

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
        self._host.worker_left(self, event)
