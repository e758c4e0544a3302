"""Several locks at once.

A request queues at all of its locks in one step, so requests stand in the same order everywhere and none waits for
another in a circle. It has got its locks when it is the first at enough of them; then it leaves the queues of the
others.
"""

from __future__ import annotations

from nbcluster.protocol.coordination import AcquireLocks, ReleaseLocks
from nbcluster.scheduler.coordination.tickets import Ticket, Tickets


class _Request:
    __slots__ = ("enough", "granted", "names")

    def __init__(self, names: list[str], enough: int) -> None:
        self.names = names
        self.enough = enough
        self.granted = False


class MultiLocks:
    """All locks by name: who has each, and who waits for it."""

    def __init__(self, tickets: Tickets) -> None:
        self._tickets = tickets
        self._queues: dict[str, dict[Ticket, None]] = {}
        """The first in each has the lock, or keeps it free until it has got the others."""
        self._requests: dict[Ticket, _Request] = {}

    def acquire(self, ticket: Ticket, message: AcquireLocks) -> None:
        """Grant locks, now or later."""
        names = list(dict.fromkeys(message.names))
        if not 0 < message.enough <= len(names):
            self._tickets.refuse(
                ticket, ValueError, f"num_locks={message.enough} is not between 1 and the number of names, {len(names)}"
            )
            return
        self._tickets.open(ticket, self)
        self._requests[ticket] = _Request(names, message.enough)
        for name in names:
            self._queues.setdefault(name, {})[ticket] = None
        self._grant([ticket])
        if not message.wait and self.waits(ticket):
            self._tickets.withdraw(ticket)
            self._tickets.answer(ticket, False)

    def release(self, ticket: Ticket, message: ReleaseLocks) -> None:
        """Take locks back."""
        held = Ticket(ticket.client, message.held)
        request = self._requests.get(held)
        mine = request is not None and request.granted
        if mine:
            self._tickets.withdraw(held)
        self._tickets.answer(ticket, mine)

    # --- tickets ---

    def waits(self, ticket: Ticket) -> bool:
        """True if the request has not got its locks yet."""
        request = self._requests.get(ticket)
        return request is not None and not request.granted

    def withdraw(self, ticket: Ticket) -> None:
        """It leaves all queues."""
        request = self._requests.pop(ticket)
        self._grant(self._leave(ticket, request.names))

    def _leave(self, ticket: Ticket, names: list[str]) -> list[Ticket]:
        """Take a request out of queues. Returns those that are the first there now."""
        moved: dict[Ticket, None] = {}
        for name in names:
            queue = self._queues[name]
            was_first = next(iter(queue)) == ticket
            del queue[ticket]
            if not queue:
                del self._queues[name]
            elif was_first:
                moved[next(iter(queue))] = None
        return list(moved)

    def _grant(self, candidates: list[Ticket]) -> None:
        while candidates:
            ticket = candidates.pop(0)
            request = self._requests[ticket]
            if request.granted:
                continue
            got = [name for name in request.names if next(iter(self._queues[name])) == ticket]
            if len(got) < request.enough:
                continue
            request.granted = True
            kept = got[: request.enough]
            others = [name for name in request.names if name not in kept]
            request.names = kept
            self._tickets.answer(ticket, True)
            candidates += self._leave(ticket, others)
