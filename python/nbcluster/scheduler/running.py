"""Calls that workers make beside their tasks: who was asked, who has answered, and what later workers are asked too.

Rules
1. Whoever asked gets one answer, when the last worker has answered or is gone: nothing hangs on a worker that dies.
2. A worker that joins while calls are kept makes them first, and is ``STARTING`` until it has: it gets no tasks.
3. What a call is, and what comes of it, is never looked at.
"""

from __future__ import annotations

from collections.abc import Callable

from nbcluster.protocol.messages import CallFailed
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.running import CallEnded, CallOutcome, FunctionRan, KeptName, RunCall, RunFunction, WorkerGone
from nbcluster.scheduler.lanes import is_named
from nbcluster.scheduler.outbox import Outbox
from nbcluster.scheduler.state import SchedClient, SchedulerState, SchedWorker
from nbcluster.types import Address, Status


class _Asked:
    """One request: who has yet to answer."""

    __slots__ = ("client", "open", "outcomes", "request")

    def __init__(self, client: SchedClient, request: int, workers: list[SchedWorker]) -> None:
        self.client = client
        self.request = request
        self.open = dict.fromkeys(workers)
        self.outcomes: dict[Address, CallOutcome] = {}


class Running:
    """Handlers of ``RunFunction`` and ``CallEnded``.

    Args:
        ready: called with a worker that has made all the calls that are kept: it may get tasks.
    """

    def __init__(self, state: SchedulerState, outbox: Outbox, ready: Callable[[SchedWorker], None]) -> None:
        self._state = state
        self._outbox = outbox
        self._ready = ready
        self._asked: dict[int, _Asked] = {}
        self._kept: dict[tuple[str, str], Payload] = {}
        self._preparing: dict[SchedWorker, dict[int, None]] = {}
        """The calls that new workers have still to make."""
        self._numbers = 0

    @property
    def kept(self) -> list[tuple[str, str]]:
        """Kind and name of the calls that later workers make, in the order in which they make them."""
        return sorted(self._kept, key=lambda kept: kept[0] != "nanny")

    def run(self, client: SchedClient, message: RunFunction) -> None:
        """Have workers make a call."""
        try:
            workers = self._named(message.workers)
            news = self._note(message)
        except ValueError as error:
            self._outbox.to_client(client, CallFailed(message.request, "ValueError", str(error)))
            return
        if not news:
            workers = []
        number = self._number()
        for worker in workers:
            self._outbox.to_worker(
                worker, RunCall(number, message.call, message.keep is not None or worker in self._preparing)
            )
        if workers and message.wait:
            self._asked[number] = _Asked(client, message.request, workers)
        else:
            self._outbox.to_client(client, FunctionRan(message.request, {}))

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _named(self, names: list[str] | None) -> list[SchedWorker]:
        workers = list(self._state.workers.values())
        if names is None:
            return workers
        for name in names:
            if not any(is_named(worker, frozenset([name])) for worker in workers):
                known = ", ".join(repr(worker.address) for worker in workers) or "none"
                raise ValueError(
                    f"workers={names!r} names {name!r}, which is no worker of this cluster; there are {known}"
                )
        return [worker for worker in workers if is_named(worker, frozenset(names))]

    def _note(self, message: RunFunction) -> bool:
        """Keep a call, or keep it no more. False if it is not news."""
        keep, drop = message.keep, message.drop
        if drop is not None and self._kept.pop((drop.kind, drop.name), None) is None:
            raise ValueError(f"The {drop.kind} plugin {drop.name!r} does not exist; {self._known(drop)}")
        if keep is None:
            return True
        name = (keep.kind, keep.name)
        if keep.once and name in self._kept:
            return False
        self._kept.pop(name, None)
        self._kept[name] = message.call
        return True

    def _known(self, dropped: KeptName) -> str:
        names = ", ".join(repr(name) for kind, name in self._kept if kind == dropped.kind)
        return f"there are {names}" if names else "there is none"

    # --- workers ---

    def joined(self, worker: SchedWorker) -> None:
        """A new worker first makes the calls that are kept."""
        if not self._kept:
            return
        worker.status = Status.STARTING
        numbers = self._preparing[worker] = {}
        for name in self.kept:
            number = self._number()
            numbers[number] = None
            self._outbox.to_worker(worker, RunCall(number, self._kept[name], True))

    def ended(self, worker: SchedWorker, message: CallEnded) -> None:
        """A worker has made a call."""
        preparing = self._preparing.get(worker)
        if preparing is not None and message.number in preparing:
            del preparing[message.number]
            if not preparing:
                del self._preparing[worker]
                self._ready(worker)
            return
        asked = self._asked.get(message.number)
        if asked is not None and worker in asked.open:
            self._answered(message.number, asked, worker, message.outcome)

    def left(self, worker: SchedWorker, cause: str) -> None:
        """A worker is gone: that is its answer to whatever it was asked."""
        self._preparing.pop(worker, None)
        for number, asked in list(self._asked.items()):
            if worker in asked.open:
                self._answered(number, asked, worker, WorkerGone(cause or "its link ended"))

    def _answered(self, number: int, asked: _Asked, worker: SchedWorker, outcome: CallOutcome) -> None:
        del asked.open[worker]
        asked.outcomes[worker.address] = outcome
        if not asked.open:
            del self._asked[number]
            if asked.client.id in self._state.clients:
                self._outbox.to_client(asked.client, FunctionRan(asked.request, asked.outcomes))
