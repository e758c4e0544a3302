"""Variables that clients share: the latest value counts."""

from __future__ import annotations

from nbcluster.protocol.coordination import DeleteVariable, GetVariable, SetVariable, Shared
from nbcluster.scheduler.coordination.kept import Handouts, KeptKeys
from nbcluster.scheduler.coordination.tickets import Ticket, Tickets
from nbcluster.scheduler.coordination.waiting import WaitingByName


class Variables:
    """All variables by name: their values, and who waits for the first one."""

    def __init__(self, tickets: Tickets, kept: KeptKeys, handouts: Handouts) -> None:
        self._tickets = tickets
        self._kept = kept
        self._handouts = handouts
        self._values: dict[str, Shared] = {}
        self._waiting = WaitingByName(tickets)

    def set(self, ticket: Ticket, message: SetVariable) -> None:
        """Replace a value, and tell all who wait for one."""
        self._kept.keep(message.value.keys)
        self._drop(message.name)
        self._values[message.name] = message.value
        for waiter in self._waiting.pop(message.name):
            self._hand(waiter, message.value)
        self._tickets.answer(ticket, True)

    def get(self, ticket: Ticket, message: GetVariable) -> None:
        """Hand over the value, now or once there is one."""
        value = self._values.get(message.name)
        if value is not None:
            self._hand(ticket, value)
        elif not message.wait:
            self._tickets.answer(ticket, False)
        else:
            self._waiting.add(ticket, message.name)

    def delete(self, ticket: Ticket, message: DeleteVariable) -> None:
        """Forget the value. Who waits for one goes on waiting."""
        self._drop(message.name)
        self._tickets.answer(ticket, True)

    def restarted(self) -> None:
        """The tasks are forgotten: values with futures in them can never be had."""
        for name in [name for name, value in self._values.items() if value.keys]:
            self._drop(name)

    def _drop(self, name: str) -> None:
        former = self._values.pop(name, None)
        if former is not None:
            self._kept.drop(former.keys)

    def _hand(self, ticket: Ticket, value: Shared) -> None:
        self._handouts.hand(ticket, [value.payload], value.keys)
