"""What clients tell each other through the scheduler, put together: which part takes which message.

The parts are pure, and know clients by name only. What they keep outlives clients; what clients wait for, or hold,
does not. After a restart of the cluster locks, flags, metadata and plain values are what they were; what has futures in
it is gone, for their tasks are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbcluster.protocol import coordination as c
from nbcluster.protocol.records import Message
from nbcluster.scheduler.coordination.datasets import Datasets
from nbcluster.scheduler.coordination.flags import Flags
from nbcluster.scheduler.coordination.kept import Handouts, KeptKeys
from nbcluster.scheduler.coordination.metadata import Metadata
from nbcluster.scheduler.coordination.multi_locks import MultiLocks
from nbcluster.scheduler.coordination.queues import Queues
from nbcluster.scheduler.coordination.semaphores import Semaphores
from nbcluster.scheduler.coordination.tickets import Ticket, Tickets
from nbcluster.scheduler.coordination.topics import Topics
from nbcluster.scheduler.coordination.variables import Variables
from nbcluster.scheduler.outbox import Outbox
from nbcluster.scheduler.requests import Requests
from nbcluster.scheduler.state import SchedClient, SchedulerState

Handler = Callable[[SchedClient, Any], None]


class Coordination:
    """All of it."""

    def __init__(self, state: SchedulerState, requests: Requests, outbox: Outbox) -> None:
        self._state = state
        self._outbox = outbox
        self._tickets = tickets = Tickets(self._say)
        self.kept = kept = KeptKeys(requests)
        self._handouts = handouts = Handouts(tickets, kept)
        self.semaphores = semaphores = Semaphores(tickets, lambda: state.now, state.settings.lease_timeout)
        self.queues = queues = Queues(tickets, kept)
        self._variables = variables = Variables(tickets, kept, handouts)
        self._datasets = datasets = Datasets(tickets, kept, handouts)
        self._topics = topics = Topics(tickets)
        self.locks = locks = MultiLocks(tickets)
        self.metadata = metadata = Metadata(tickets)
        flags = Flags(tickets)
        numbered: dict[type[Message], Callable[[Ticket, Any], None]] = {
            c.AcquireLease: semaphores.acquire,
            c.ReleaseLease: semaphores.release,
            c.CountLeases: semaphores.count,
            c.CloseSemaphore: semaphores.close,
            c.AcquireLocks: locks.acquire,
            c.ReleaseLocks: locks.release,
            c.AwaitFlag: flags.wait,
            c.SetFlag: flags.set,
            c.GetFlag: flags.get,
            c.PutItem: queues.put,
            c.GetItems: queues.get,
            c.CountItems: queues.count,
            c.SetVariable: variables.set,
            c.GetVariable: variables.get,
            c.DeleteVariable: variables.delete,
            c.Publish: datasets.publish,
            c.Unpublish: datasets.unpublish,
            c.ListDatasets: datasets.names,
            c.GetDatasets: datasets.get,
            c.SetMetadata: metadata.set,
            c.GetMetadata: metadata.get,
            c.GetEvents: topics.get,
            c.LogEvent: lambda ticket, message: topics.record(ticket, message, self._wall),
        }
        self.handlers: dict[type, Handler] = {kind: self._numbered(handle) for kind, handle in numbered.items()}
        self.handlers[c.Withdraw] = self._withdraw
        self.handlers[c.Received] = self._received
        self.handlers[c.RenewLeases] = lambda client, message: semaphores.renew(client.id, message)
        self.handlers[c.OpenQueue] = lambda client, message: queues.open(client.id, message)
        self.handlers[c.LeaveQueue] = lambda client, message: queues.leave(client.id, message)
        self.handlers[c.SubscribeTopic] = lambda client, message: topics.subscribe(client.id, message)

    # --- messages ---

    def _numbered(self, handle: Callable[[Ticket, Any], None]) -> Handler:
        def handler(client: SchedClient, message: Any) -> None:
            ticket = Ticket(client.id, message.request)
            if self._tickets.holder(ticket) is not None:
                self._tickets.refuse(ticket, ValueError, f"request {message.request} is open already")
            else:
                handle(ticket, message)

        return handler

    def _withdraw(self, client: SchedClient, message: c.Withdraw) -> None:
        ticket = Ticket(client.id, message.request)
        holder = self._tickets.holder(ticket)
        if holder is None:
            return
        if message.give_back:
            self._tickets.withdraw(ticket)
        elif holder.waits(ticket):
            self._tickets.withdraw(ticket)
            self._tickets.answer(ticket, False)

    def _received(self, client: SchedClient, message: c.Received) -> None:
        ticket = Ticket(client.id, message.request)
        holder = self._tickets.holder(ticket)
        if holder is self.queues:
            self.queues.received(ticket)
        elif holder is self._handouts:
            self._tickets.withdraw(ticket)

    def log(self, message: c.LogEvent) -> None:
        """A task, or user code in the scheduler, logs an event."""
        self._topics.log(message.topics, message.value, self._wall)

    def events(self, topic: str | None) -> dict[str, list[c.LoggedEvent]]:
        """What was logged under a topic, or under all."""
        return self._topics.events(topic)

    def note(self, topics: list[str], **facts: object) -> None:
        """Log what happened to the cluster."""
        self._topics.note(topics, self._wall, **facts)

    # --- events ---

    @property
    def open_requests(self) -> int:
        """How many wait, or have something that is not settled."""
        return len(self._tickets)

    @property
    def ticks(self) -> bool:
        """True if ``tick`` has to be called now and then."""
        return bool(self.semaphores.waiting)

    def tick(self) -> None:
        """Time has passed."""
        self.semaphores.tick()

    def client_left(self, client: str) -> None:
        """Give back all that a client waits for, or holds."""
        self._tickets.leave(client)
        self.queues.client_left(client)
        self._topics.client_left(client)

    def restarted(self) -> None:
        """The tasks are forgotten."""
        self.queues.restarted()
        self._variables.restarted()
        self._datasets.restarted()
        self.note(["all", "scheduler"], action="restart")

    # --- parts ---

    @property
    def _wall(self) -> float:
        return self._state.epoch + self._state.now

    def _say(self, client: str, message: Message) -> None:
        known = self._state.clients.get(client)
        if known is not None:
            self._outbox.to_client(known, message)
