"""Requests that wait for something with a name: for a flag to be set, for a variable to have a value."""

from __future__ import annotations

from nbcluster.scheduler.coordination.tickets import Ticket, Tickets


class WaitingByName:
    """All that wait, by what they wait for, in the order in which they came. It holds their tickets."""

    def __init__(self, tickets: Tickets) -> None:
        self._tickets = tickets
        self._by_name: dict[str, dict[Ticket, None]] = {}
        self._names: dict[Ticket, str] = {}

    def add(self, ticket: Ticket, name: str) -> None:
        """A request waits from now on."""
        self._tickets.open(ticket, self)
        self._by_name.setdefault(name, {})[ticket] = None
        self._names[ticket] = name

    def pop(self, name: str) -> list[Ticket]:
        """What they waited for is there: they wait no more, and are to be answered."""
        tickets = list(self._by_name.pop(name, ()))
        for ticket in tickets:
            del self._names[ticket]
            self._tickets.close(ticket)
        return tickets

    def waits(self, ticket: Ticket) -> bool:
        """True if it has not been answered."""
        return ticket in self._names

    def withdraw(self, ticket: Ticket) -> None:
        """It waits no more."""
        name = self._names.pop(ticket)
        tickets = self._by_name[name]
        del tickets[ticket]
        if not tickets:
            del self._by_name[name]
