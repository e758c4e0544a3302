"""Flags that are set or not, and who waits for them: ``Event``, to those who use it."""

from __future__ import annotations

from nbcluster.protocol.coordination import AwaitFlag, GetFlag, SetFlag
from nbcluster.scheduler.coordination.tickets import Ticket, Tickets


class Flags:
    """All flags by name. One that is not set, and that nobody waits for, is not here."""

    def __init__(self, tickets: Tickets) -> None:
        self._tickets = tickets
        self._set: set[str] = set()
        self._waiters: dict[str, dict[Ticket, None]] = {}
        self._awaited: dict[Ticket, str] = {}

    def wait(self, ticket: Ticket, message: AwaitFlag) -> None:
        """Answer once the flag is set."""
        if message.name in self._set:
            self._tickets.answer(ticket, True)
        elif not message.wait:
            self._tickets.answer(ticket, False)
        else:
            self._tickets.open(ticket, self)
            self._waiters.setdefault(message.name, {})[ticket] = None
            self._awaited[ticket] = message.name

    def set(self, ticket: Ticket, message: SetFlag) -> None:
        """Set a flag, and let all go on who wait for it; or clear it."""
        if message.value:
            self._set.add(message.name)
            for waiter in self._waiters.pop(message.name, {}):
                del self._awaited[waiter]
                self._tickets.close(waiter)
                self._tickets.answer(waiter, True)
        else:
            self._set.discard(message.name)
        self._tickets.answer(ticket, True)

    def get(self, ticket: Ticket, message: GetFlag) -> None:
        """Say whether a flag is set."""
        self._tickets.answer(ticket, message.name in self._set)

    def waits(self, ticket: Ticket) -> bool:
        """True if its flag is not set."""
        return ticket in self._awaited

    def withdraw(self, ticket: Ticket) -> None:
        """It waits no more."""
        name = self._awaited.pop(ticket)
        waiters = self._waiters[name]
        del waiters[ticket]
        if not waiters:
            del self._waiters[name]
