"""Queues that clients share.

    put ──▶ putters, while it is full ──▶ items ──▶ getter, the one that came first ──▶ handed ──▶ received
                                            ▲                                             │
                                            └──────────── its client took nothing ◀───────┘

Rules
1. First in, first out, for items and for those who wait. An item that comes back goes to its old place: items are
   numbered.
2. A getter that wants several collects them as they come, so that a full queue keeps moving; if it gives up, they go
   back.
3. A queue lives as long as there is something in it, somebody waits at it, or a client has it open. It is emptied when
   somebody closes the last object for it. A client that goes closes nothing: a kernel that is restarted finds all that
   it put.
"""

from __future__ import annotations

from collections import Counter, deque

from nbcluster.protocol.coordination import CountItems, GetItems, HandedOver, LeaveQueue, OpenQueue, PutItem, Shared
from nbcluster.scheduler.coordination.kept import KeptKeys
from nbcluster.scheduler.coordination.tickets import Ticket, Tickets


class _Item:
    __slots__ = ("keys", "number", "shared")

    def __init__(self, number: int, shared: Shared) -> None:
        self.number = number
        self.shared = shared
        self.keys = shared.keys


class _Queue:
    __slots__ = ("getters", "got", "handed", "items", "maxsize", "name", "numbers", "opened", "putters")

    def __init__(self, name: str, maxsize: int) -> None:
        self.name = name
        self.maxsize = maxsize
        self.items: deque[_Item] = deque()
        self.putters: dict[Ticket, Shared] = {}
        self.getters: dict[Ticket, int] = {}
        """With how many items each wants in all."""
        self.got: list[_Item] = []
        """What the first getter has collected so far."""
        self.handed: dict[Ticket, list[_Item]] = {}
        self.opened: Counter[str] = Counter()
        self.numbers = 0

    @property
    def in_use(self) -> bool:
        return bool(self.items or self.putters or self.getters or self.handed or self.opened)

    @property
    def has_room(self) -> bool:
        return self.maxsize <= 0 or len(self.items) < self.maxsize

    def take_back(self, items: list[_Item]) -> None:
        for item in reversed(items):
            place = 0
            while place < len(self.items) and self.items[place].number < item.number:
                place += 1
            self.items.insert(place, item)


class Queues:
    """All queues by name."""

    def __init__(self, tickets: Tickets, kept: KeptKeys) -> None:
        self._tickets = tickets
        self._kept = kept
        self._named: dict[str, _Queue] = {}
        self._by_ticket: dict[Ticket, _Queue] = {}

    # --- requests ---

    def open(self, client: str, message: OpenQueue) -> None:
        """One more object for this queue."""
        self._queue(message.name, message.maxsize).opened[client] += 1

    def leave(self, client: str, message: LeaveQueue) -> None:
        """One object fewer."""
        queue = self._named.get(message.name)
        if queue is None:
            return
        queue.opened[client] -= 1
        if queue.opened[client] <= 0:
            del queue.opened[client]
        if message.close and not queue.opened:
            self._close(queue)
        self._forget_idle(queue)

    def client_left(self, client: str) -> None:
        """All its objects are gone."""
        for queue in list(self._named.values()):
            if queue.opened.pop(client, None):
                self._forget_idle(queue)

    def put(self, ticket: Ticket, message: PutItem) -> None:
        """Take an item, now or once there is room."""
        queue = self._queue(message.queue, message.maxsize)
        if not message.wait and not queue.has_room:
            self._tickets.answer(ticket, False)
            return
        self._kept.keep(message.item.keys)
        self._open(ticket, queue)
        queue.putters[ticket] = message.item
        self._move(queue)

    def get(self, ticket: Ticket, message: GetItems) -> None:
        """Hand over items, now or once they are there."""
        queue = self._queue(message.queue, message.maxsize)
        self._open(ticket, queue)
        if not message.count:
            everything: list[_Item] = []
            while queue.items and not queue.getters:
                everything.append(queue.items.popleft())
                self._admit(queue)
            self._hand(queue, ticket, everything)
            return
        queue.getters[ticket] = message.count
        self._move(queue)
        if not message.wait and ticket in queue.getters:
            self._tickets.withdraw(ticket)
            self._tickets.answer(ticket, False)

    def count(self, ticket: Ticket, message: CountItems) -> None:
        """Say how many items there are."""
        queue = self._named.get(message.queue)
        self._tickets.answer(ticket, 0 if queue is None else len(queue.items))

    def received(self, ticket: Ticket) -> None:
        """A client has what it was handed."""
        queue = self._by_ticket[ticket]
        items = queue.handed.get(ticket)
        if items is None:
            return  # it says so before it was handed anything
        del queue.handed[ticket]
        self._close_ticket(ticket)
        for item in items:
            self._kept.drop(item.keys)
        self._forget_idle(queue)

    def restarted(self) -> None:
        """The tasks are forgotten: whatever has futures in it can never be had."""
        for queue in list(self._named.values()):
            self._drop([item for item in queue.items if item.keys])
            queue.items = deque(item for item in queue.items if not item.keys)
            for items in (queue.got, *queue.handed.values()):
                self._drop([item for item in items if item.keys])
                items[:] = [item for item in items if not item.keys]
            for ticket, shared in list(queue.putters.items()):
                if shared.keys:
                    self._tickets.refuse(ticket, RuntimeError, "the cluster was restarted, and the futures are lost")
                    self._tickets.withdraw(ticket)
            self._move(queue)
            self._forget_idle(queue)

    # --- tickets ---

    def waits(self, ticket: Ticket) -> bool:
        """True if it waits for room, or for items."""
        queue = self._by_ticket.get(ticket)
        return queue is not None and (ticket in queue.putters or ticket in queue.getters)

    def withdraw(self, ticket: Ticket) -> None:
        """It puts nothing any more, or takes nothing: what it got goes back."""
        queue = self._by_ticket.pop(ticket)
        shared = queue.putters.pop(ticket, None)
        if shared is not None:
            self._kept.drop(shared.keys)
        if ticket in queue.getters:
            if next(iter(queue.getters)) == ticket:
                queue.take_back(queue.got)
                queue.got = []
            del queue.getters[ticket]
        queue.take_back(queue.handed.pop(ticket, []))
        self._move(queue)
        self._forget_idle(queue)

    def _open(self, ticket: Ticket, queue: _Queue) -> None:
        self._tickets.open(ticket, self)
        self._by_ticket[ticket] = queue

    def _close_ticket(self, ticket: Ticket) -> None:
        self._tickets.close(ticket)
        del self._by_ticket[ticket]

    # --- queues ---

    def _queue(self, name: str, maxsize: int) -> _Queue:
        queue = self._named.get(name)
        if queue is None:
            queue = self._named[name] = _Queue(name, maxsize)
        return queue

    def _forget_idle(self, queue: _Queue) -> None:
        if not queue.in_use and self._named.get(queue.name) is queue:
            del self._named[queue.name]

    def _move(self, queue: _Queue) -> None:
        """Let in what there is room for, and hand over what is wanted."""
        while True:
            self._admit(queue)
            if not queue.getters or not queue.items:
                return
            queue.got.append(queue.items.popleft())
            ticket = next(iter(queue.getters))
            if len(queue.got) == queue.getters[ticket]:
                del queue.getters[ticket]
                got, queue.got = queue.got, []
                self._hand(queue, ticket, got)

    def _admit(self, queue: _Queue) -> None:
        while queue.putters and queue.has_room:
            ticket = next(iter(queue.putters))
            queue.numbers += 1
            queue.items.append(_Item(queue.numbers, queue.putters.pop(ticket)))
            self._close_ticket(ticket)
            self._tickets.answer(ticket, True)

    def _hand(self, queue: _Queue, ticket: Ticket, items: list[_Item]) -> None:
        queue.handed[ticket] = items
        self._tickets.say(ticket.client, HandedOver(ticket.number, [item.shared.payload for item in items]))

    def _close(self, queue: _Queue) -> None:
        for ticket in (*queue.putters, *queue.getters):
            self._tickets.refuse(ticket, RuntimeError, f"The queue {queue.name!r} was closed")
            self._close_ticket(ticket)
        for shared in queue.putters.values():
            self._kept.drop(shared.keys)
        self._drop([*queue.items, *queue.got])
        queue.items.clear()
        queue.got.clear()
        queue.putters.clear()
        queue.getters.clear()

    def _drop(self, items: list[_Item]) -> None:
        for item in items:
            self._kept.drop(item.keys)
