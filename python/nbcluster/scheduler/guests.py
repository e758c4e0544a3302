"""Workers from outside the cluster: under which names, on whose word.

To see that a name is free and to take it is one step, here: of two that want it at once, one gets it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nbcluster.deadlines import within
from nbcluster.errors import TimeoutError
from nbcluster.protocol.joining import Dismissed, GiveUpName, Joined, NameRequest, StartAfresh, TakeName, WorkerEnded
from nbcluster.protocol.messages import RegisterWorker
from nbcluster.protocol.records import Message
from nbcluster.types import WorkerName

if TYPE_CHECKING:
    from nbcluster.scheduler.server import SchedulerServer

GOING = 2.0
"""Seconds that a worker whose name is given up has for its last reports."""


class Host(Protocol):
    """The link over which a name was taken."""

    is_lost: bool

    def send(self, messages: list[Message]) -> None:
        """Send, unless the link has just ended."""


class _Guest(NamedTuple):
    host: Host
    supervised: bool


class Guests:
    """Those of one scheduler."""

    def __init__(self, server: SchedulerServer) -> None:
        self._server = server
        self._guests: dict[WorkerName, _Guest] = {}
        self._leaving: dict[WorkerName, bool] = {}
        """Those that end once they are retired, and whether for good: whoever asked for it himself knows."""

    def __contains__(self, name: WorkerName) -> bool:
        return name in self._guests

    @property
    def names(self) -> list[WorkerName]:
        """Those that are taken, whether the worker is here or not."""
        return list(self._guests)

    def supervised(self, name: WorkerName) -> bool:
        """True if somebody will say how this worker's process ended."""
        guest = self._guests.get(name)
        return guest is not None and guest.supervised

    async def serve(self, host: Host, request: NameRequest) -> None:
        """Do what a host asks.

        Raises:
            ValueError: the name is taken, or not the host's.
        """
        if isinstance(request, TakeName):
            self._take(host, request)
        elif not self._is_of(host, request.name):
            raise ValueError(f"{request.name!r} is not a name of a worker that came over this link")
        elif isinstance(request, GiveUpName):
            await self._give_up(request.name)
        else:
            self._leaving.setdefault(request.name, False)
            self._server.retire([request.name])

    def dismiss(self, names: list[WorkerName]) -> None:
        """Let workers go gently, and for good."""
        self._leaving.update(dict.fromkeys(names, True))
        self._server.retire(names)

    def retired(self, name: WorkerName) -> None:
        """Nothing of this worker would be lost any more: if it is to end, it does so now."""
        for_good = self._leaving.pop(name, None)
        guest = self._guests.get(name)
        if for_good and guest is not None:
            guest.host.send([Dismissed(name, "it was retired")])
        elif for_good is not None:
            self._server.stop_worker(name, "it was retired")

    def joined(self, worker: RegisterWorker) -> None:
        """A worker has registered."""
        guest = self._guests.get(worker.name)
        if guest is not None:
            guest.host.send([Joined(worker.name, worker.pid, worker.address, worker.local_directory)])

    def gone(self, name: WorkerName) -> None:
        """A worker has left, perhaps before it was retired."""
        self.retired(name)

    def restart(self, names: Iterable[WorkerName]) -> None:
        """Have other workers take the place of these."""
        for name in names:
            self._guests[name].host.send([StartAfresh(name)])

    def ended(self, host: Host, told: WorkerEnded) -> None:
        """A host's word on how its worker ended."""
        if self._is_of(host, told.name):
            self._server.worker_exited(told.name, told.pid, told.cause, frozenset(told.running), told.log)

    def left(self, host: Host) -> None:
        """A link has ended: its names are free, and nobody will say how its workers end."""
        for name in [name for name, guest in self._guests.items() if guest.host is host]:
            del self._guests[name]
            self._server.forsake(name)

    def _is_of(self, host: Host, name: WorkerName) -> bool:
        guest = self._guests.get(name)
        return guest is not None and guest.host is host

    def _take(self, host: Host, request: TakeName) -> None:
        name = request.name
        if name in self._guests or self._server.knows(name):
            raise ValueError(f"name taken, {name!r}: the cluster has a worker of this name; give another one")
        if not host.is_lost:  # else nobody would give it up again
            self._guests[name] = _Guest(host, request.supervised)

    async def _give_up(self, name: WorkerName) -> None:
        guest = self._guests[name]
        self._server.forsake(name)
        with contextlib.suppress(TimeoutError):
            await within(self._gone(name), GOING)
        if self._guests.get(name) is guest:  # else its link ended meanwhile
            del self._guests[name]

    async def _gone(self, name: WorkerName) -> None:
        while self._server.is_here(name):
            await self._server.wait_changed()
