"""Results that are wanted for the sake of what the scheduler keeps: items of queues, variables, datasets."""

from __future__ import annotations

from collections import Counter

from nbcluster.protocol.coordination import HandedOver
from nbcluster.protocol.messages import ReleaseKeys, WantKeys
from nbcluster.protocol.payload import Payload
from nbcluster.scheduler.coordination.tickets import Ticket, Tickets
from nbcluster.scheduler.requests import Requests
from nbcluster.scheduler.state import SchedClient
from nbcluster.types import Key


class KeptKeys:
    """One more client, as far as tasks are concerned: it wants each key as often as that is kept somewhere."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._keeper = SchedClient("")
        self._counts: Counter[Key] = Counter()

    def keep(self, keys: list[Key]) -> None:
        """Want these, once more."""
        if keys:
            self._counts.update(keys)
            self._requests.want(self._keeper, WantKeys(keys))

    def drop(self, keys: list[Key]) -> None:
        """Want these once less."""
        gone = []
        for key in keys:
            self._counts[key] -= 1
            if self._counts[key] <= 0:
                del self._counts[key]
                gone.append(key)
        if gone:
            self._requests.release(self._keeper, ReleaseKeys(gone))

    @property
    def keys(self) -> set[Key]:
        """What is wanted."""
        return set(self._counts)


class Handouts:
    """What was handed over, and is kept until it was received."""

    def __init__(self, tickets: Tickets, kept: KeptKeys) -> None:
        self._tickets = tickets
        self._kept = kept
        self._keys: dict[Ticket, list[Key]] = {}

    def hand(self, ticket: Ticket, items: list[Payload | None], keys: list[Key]) -> None:
        """Answer a request with values, and keep what is in them until they were received."""
        self._tickets.say(ticket.client, HandedOver(ticket.number, items))
        if keys:
            self._kept.keep(keys)
            self._keys[ticket] = keys
            self._tickets.open(ticket, self)

    def waits(self, ticket: Ticket) -> bool:
        """It has been answered."""
        return False

    def withdraw(self, ticket: Ticket) -> None:
        """The client has it, and wants the keys itself; or will not take it, and there is more where it came from."""
        self._kept.drop(self._keys.pop(ticket))
