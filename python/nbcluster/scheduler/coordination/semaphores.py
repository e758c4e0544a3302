"""Semaphores, and locks, which are semaphores with one lease.

Rules
1. Who came first is served first. A lease is granted the moment it is free.
2. A lease ends when it is released, when its client goes, or when its semaphore is closed. One that ``expires`` ends
   also when it was not renewed for ``lease_timeout`` seconds *and* somebody waits for it: a client that was merely slow
   keeps what nobody else wants.
3. What nobody has or wants is remembered for its number of leases only, and of those semaphores only the latest.
"""

from __future__ import annotations

from collections.abc import Callable

from nbcluster.protocol.coordination import (
    AcquireLease,
    CloseSemaphore,
    CountLeases,
    LeaseGranted,
    ReleaseLease,
    RenewLeases,
)
from nbcluster.scheduler.coordination.tickets import Ticket, Tickets

IDLE_KEPT = 1000
"""Of how many semaphores that nobody uses is remembered how many leases they have."""


class _Lease:
    __slots__ = ("expires", "renewed")

    def __init__(self, expires: bool, renewed: float) -> None:
        self.expires = expires
        self.renewed = renewed


class _Semaphore:
    __slots__ = ("leases", "most", "name", "waiters")

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self.leases: dict[Ticket, _Lease] = {}
        self.waiters: dict[Ticket, bool] = {}
        """In the order in which they came; with whether their lease is to expire."""


class Semaphores:
    """All semaphores and locks by name."""

    def __init__(self, tickets: Tickets, clock: Callable[[], float], lease_timeout: float) -> None:
        self._tickets = tickets
        self._clock = clock
        self._lease_timeout = lease_timeout
        self._named: dict[str, _Semaphore] = {}
        self._by_ticket: dict[Ticket, _Semaphore] = {}
        self._idle: dict[str, None] = {}
        self.waiting = 0
        """How many requests wait: while there are some, ``tick`` wants to be called now and then."""

    # --- requests ---

    def acquire(self, ticket: Ticket, message: AcquireLease) -> None:
        """Grant a lease, now or later."""
        semaphore = self._named.get(message.name)
        if semaphore is None:
            semaphore = self._named[message.name] = _Semaphore(message.name, message.most)
        elif semaphore.most != message.most:
            text = f"Inconsistent max leases: {message.most}, expected: {semaphore.most}"
            self._tickets.refuse(ticket, ValueError, f"{text} (of {message.name!r}; close() it to change that)")
            return
        self._idle.pop(message.name, None)
        self._tickets.open(ticket, self)
        self._by_ticket[ticket] = semaphore
        semaphore.waiters[ticket] = message.expires
        self.waiting += 1
        self._expire(semaphore)
        self._grant(semaphore)
        if not message.wait and ticket in semaphore.waiters:
            self._tickets.withdraw(ticket)
            self._tickets.answer(ticket, False)

    def release(self, ticket: Ticket, message: ReleaseLease) -> None:
        """Take a lease back."""
        lease = Ticket(ticket.client, message.lease)
        semaphore = self._by_ticket.get(lease)
        mine = semaphore is not None and lease in semaphore.leases
        if mine:
            self._tickets.withdraw(lease)
        self._tickets.answer(ticket, mine)

    def renew(self, client: str, message: RenewLeases) -> None:
        """Note that a client still needs its leases."""
        for number in message.leases:
            ticket = Ticket(client, number)
            semaphore = self._by_ticket.get(ticket)
            if semaphore is not None and ticket in semaphore.leases:
                semaphore.leases[ticket].renewed = self._clock()

    def count(self, ticket: Ticket, message: CountLeases) -> None:
        """Say how many leases are taken."""
        semaphore = self._named.get(message.name)
        self._tickets.answer(ticket, 0 if semaphore is None else len(semaphore.leases))

    def close(self, ticket: Ticket, message: CloseSemaphore) -> None:
        """Forget a semaphore, whoever has leases of it."""
        semaphore = self._named.pop(message.name, None)
        self._idle.pop(message.name, None)
        taken = 0
        if semaphore is not None:
            taken = len(semaphore.leases)
            self.waiting -= len(semaphore.waiters)
            for waiter in semaphore.waiters:
                self._tickets.refuse(waiter, RuntimeError, f"The semaphore {message.name!r} was closed")
            for one in (*semaphore.waiters, *semaphore.leases):
                self._tickets.close(one)
                del self._by_ticket[one]
        self._tickets.answer(ticket, taken)

    # --- time ---

    def tick(self) -> None:
        """Let leases expire."""
        for semaphore in [s for s in self._named.values() if s.waiters]:
            self._expire(semaphore)

    def _expire(self, semaphore: _Semaphore) -> None:
        latest = self._clock() - self._lease_timeout
        stale = [t for t, lease in semaphore.leases.items() if lease.expires and lease.renewed < latest]
        for ticket in stale[: max(0, len(semaphore.waiters) - (semaphore.most - len(semaphore.leases)))]:
            self._tickets.withdraw(ticket)

    # --- tickets ---

    def waits(self, ticket: Ticket) -> bool:
        """True if the request has no lease yet."""
        semaphore = self._by_ticket.get(ticket)
        return semaphore is not None and ticket in semaphore.waiters

    def withdraw(self, ticket: Ticket) -> None:
        """It waits no more, or its lease is free."""
        semaphore = self._by_ticket.pop(ticket)
        if semaphore.waiters.pop(ticket, None) is not None:
            self.waiting -= 1
        semaphore.leases.pop(ticket, None)
        self._grant(semaphore)
        if not semaphore.leases and not semaphore.waiters:
            self._idle[semaphore.name] = None
            if len(self._idle) > IDLE_KEPT:
                oldest = next(iter(self._idle))
                del self._idle[oldest], self._named[oldest]

    def _grant(self, semaphore: _Semaphore) -> None:
        while semaphore.waiters and len(semaphore.leases) < semaphore.most:
            ticket = next(iter(semaphore.waiters))
            expires = semaphore.waiters.pop(ticket)
            self.waiting -= 1
            semaphore.leases[ticket] = _Lease(expires, self._clock())
            seconds = self._lease_timeout if expires else 0.0
            self._tickets.say(ticket.client, LeaseGranted(ticket.number, seconds))
