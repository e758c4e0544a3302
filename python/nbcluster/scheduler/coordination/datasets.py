"""What was published: it stays, with the results that it is made of, until it is unpublished, whoever goes."""

from __future__ import annotations

from nbcluster.protocol.coordination import GetDatasets, ListDatasets, Publish, Shared, Unpublish
from nbcluster.scheduler.coordination.kept import Handouts, KeptKeys
from nbcluster.scheduler.coordination.tickets import Ticket, Tickets


class Datasets:
    """All datasets by name."""

    def __init__(self, tickets: Tickets, kept: KeptKeys, handouts: Handouts) -> None:
        self._tickets = tickets
        self._kept = kept
        self._handouts = handouts
        self._named: dict[str, Shared] = {}

    def publish(self, ticket: Ticket, message: Publish) -> None:
        """Keep all of these; or none, if a name is taken and must not be overridden."""
        taken = [] if message.override else [name for name in message.datasets if name in self._named]
        if not taken:
            for name, dataset in message.datasets.items():
                self._kept.keep(dataset.keys)
                self._drop(name)
                self._named[name] = dataset
        self._tickets.answer(ticket, taken)

    def unpublish(self, ticket: Ticket, message: Unpublish) -> None:
        """Let go of these; of those that there are."""
        for name in message.names:
            self._drop(name)
        self._tickets.answer(ticket, True)

    def names(self, ticket: Ticket, message: ListDatasets) -> None:
        """Say what there is."""
        self._tickets.answer(ticket, list(self._named))

    def get(self, ticket: Ticket, message: GetDatasets) -> None:
        """Hand over what there is."""
        found = [self._named.get(name) for name in message.names]
        keys = [key for dataset in found if dataset is not None for key in dataset.keys]
        self._handouts.hand(ticket, [None if dataset is None else dataset.payload for dataset in found], keys)

    def restarted(self) -> None:
        """The tasks are forgotten: datasets that are made of them can never be had."""
        for name in [name for name, dataset in self._named.items() if dataset.keys]:
            self._drop(name)

    def _drop(self, name: str) -> None:
        former = self._named.pop(name, None)
        if former is not None:
            self._kept.drop(former.keys)
