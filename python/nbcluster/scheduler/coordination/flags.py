"""Flags that are set or not, and who waits for them: ``Event``, to those who use it."""

from __future__ import annotations

from nbcluster.protocol.coordination import AwaitFlag, GetFlag, SetFlag
from nbcluster.scheduler.coordination.tickets import Ticket, Tickets
from nbcluster.scheduler.coordination.waiting import WaitingByName


class Flags:
    """All flags by name. One that is not set, and that nobody waits for, is not here."""

    def __init__(self, tickets: Tickets) -> None:
        self._tickets = tickets
        self._set: set[str] = set()
        self._waiting = WaitingByName(tickets)

    def wait(self, ticket: Ticket, message: AwaitFlag) -> None:
        """Answer once the flag is set."""
        if message.name in self._set:
            self._tickets.answer(ticket, True)
        elif not message.wait:
            self._tickets.answer(ticket, False)
        else:
            self._waiting.add(ticket, message.name)

    def set(self, ticket: Ticket, message: SetFlag) -> None:
        """Set a flag, and let all go on who wait for it; or clear it."""
        if message.value:
            self._set.add(message.name)
            for waiter in self._waiting.pop(message.name):
                self._tickets.answer(waiter, True)
        else:
            self._set.discard(message.name)
        self._tickets.answer(ticket, True)

    def get(self, ticket: Ticket, message: GetFlag) -> None:
        """Say whether a flag is set."""
        self._tickets.answer(ticket, message.name in self._set)
