"""Requests that are open: they wait, or what they were given is not settled yet.

Each is held by the part that it was made to. A client that goes leaves none behind: the parts are told to undo them,
the latest first, so that what goes back does so in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from nbcluster.protocol.coordination import Replied
from nbcluster.protocol.messages import CallFailed
from nbcluster.protocol.records import Message


class Ticket(NamedTuple):
    """A request: whose, and its number there."""

    client: str
    number: int


Say = Callable[[str, Message], None]
"""Says something to a client, if it is still there."""


class Holder(Protocol):
    """A part that requests wait at."""

    def waits(self, ticket: Ticket) -> bool:
        """True if the request has not been answered."""

    def withdraw(self, ticket: Ticket) -> None:
        """Undo a request: it waits no more, or gives back what it got. Its ticket is not open any more."""


class Tickets:
    """All open requests, and the way to answer them."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self._open: dict[str, dict[int, Holder]] = {}

    def open(self, ticket: Ticket, holder: Holder) -> None:
        """From now on the holder knows this request."""
        self._open.setdefault(ticket.client, {})[ticket.number] = holder

    def close(self, ticket: Ticket) -> None:
        """The holder knows this request no more."""
        mine = self._open.get(ticket.client)
        if mine is not None:
            mine.pop(ticket.number, None)
            if not mine:
                del self._open[ticket.client]

    def holder(self, ticket: Ticket) -> Holder | None:
        """Who knows this request."""
        return self._open.get(ticket.client, {}).get(ticket.number)

    def withdraw(self, ticket: Ticket) -> None:
        """Undo a request, if it is open."""
        holder = self.holder(ticket)
        if holder is not None:
            self.close(ticket)
            holder.withdraw(ticket)

    def leave(self, client: str) -> None:
        """Undo all requests of a client."""
        while mine := self._open.get(client):
            self.withdraw(Ticket(client, next(reversed(mine))))

    def answer(self, ticket: Ticket, value: bool | int | list[str]) -> None:
        """Answer a request."""
        self.say(ticket.client, Replied(ticket.number, value))

    def refuse(self, ticket: Ticket, kind: type[Exception], text: str) -> None:
        """Answer a request with an exception."""
        self.say(ticket.client, CallFailed(ticket.number, kind.__name__, text))

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))
