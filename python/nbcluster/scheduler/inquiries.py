"""Questions of clients: those that the scheduler passes on to workers, and the logs that they have sent to them.

A question is open until all workers that it was passed on to have answered or left, or the client who asked loses
patience or leaves. So nobody waits for a worker that does not answer, and nothing is kept for one that never will.
"""

from __future__ import annotations

from nbcluster.protocol.inspection import AnySight as Sight
from nbcluster.protocol.inspection import (
    AskScheduler,
    AskWorkers,
    ForwardLogs,
    Hurry,
    Inspect,
    Inspected,
    LogEntry,
    Look,
    Seen,
    Sights,
)
from nbcluster.protocol.messages import CallFailed
from nbcluster.scheduler.inspection import answer, chosen_workers
from nbcluster.scheduler.outbox import Outbox
from nbcluster.scheduler.placement import Placement
from nbcluster.scheduler.state import SchedClient, SchedulerState, SchedWorker
from nbcluster.types import Address


class _Inquiry:
    """One question that workers are to answer."""

    __slots__ = ("client", "request", "sights", "waiting")

    def __init__(self, client: SchedClient, request: int, workers: list[SchedWorker]) -> None:
        self.client = client
        self.request = request
        self.waiting = dict.fromkeys(workers)
        self.sights: dict[Address, Sight] = {}


class Inquiries:
    """Handlers of the messages in ``protocol.inspection``."""

    def __init__(self, state: SchedulerState, placement: Placement, outbox: Outbox) -> None:
        self._state = state
        self._placement = placement
        self._outbox = outbox
        self._open: dict[int, _Inquiry] = {}
        self._last = 0
        self._forwarding: dict[str, dict[SchedClient, ForwardLogs]] = {}
        """Whose loggers are sent to which clients, from which level on."""

    # --- questions ---

    def ask(self, client: SchedClient, message: Inspect) -> None:
        """Answer, or pass on to workers."""
        question = message.question
        try:
            if isinstance(question, AskWorkers):
                self._pass_on(client, message.request, question)
            elif isinstance(question, AskScheduler):
                self._outbox.look_locally(client, message.request, question.look)
            else:
                said = answer(self._state, self._placement, question)
                self._outbox.to_client(client, Inspected(message.request, said))
        except ValueError as error:
            self._outbox.to_client(client, CallFailed(message.request, "ValueError", str(error)))

    def _pass_on(self, client: SchedClient, request: int, question: AskWorkers) -> None:
        workers = chosen_workers(self._state, question.workers)
        self._last = number = self._last + 1
        inquiry = self._open[number] = _Inquiry(client, request, workers)
        for worker in workers:
            self._outbox.to_worker(worker, Look(number, question.look))
        self._settle(number, inquiry)

    def seen(self, worker: SchedWorker, message: Seen) -> None:
        """A worker's answer; one that nobody waits for any more is dropped."""
        inquiry = self._open.get(message.request)
        if inquiry is not None and worker in inquiry.waiting:
            del inquiry.waiting[worker]
            inquiry.sights[worker.address] = message.sight
            self._settle(message.request, inquiry)

    def hurry(self, client: SchedClient, message: Hurry) -> None:
        """The client waits no longer."""
        for number, inquiry in list(self._open.items()):
            if inquiry.client is client and inquiry.request == message.request:
                self._conclude(number, inquiry)

    def _settle(self, number: int, inquiry: _Inquiry) -> None:
        if not inquiry.waiting:
            self._conclude(number, inquiry)

    def _conclude(self, number: int, inquiry: _Inquiry) -> None:
        del self._open[number]
        silent = [worker.address for worker in inquiry.waiting]
        self._outbox.to_client(inquiry.client, Inspected(inquiry.request, Sights(inquiry.sights, silent)))

    # --- logs ---

    def forward_logs(self, client: SchedClient, message: ForwardLogs) -> None:
        """A client wants to see what workers' loggers say, or no more."""
        wanted = self._forwarding.setdefault(message.logger, {})
        if message.level is None:
            wanted.pop(client, None)
        else:
            wanted[client] = message
        self._spread(message.logger)

    def _spread(self, logger: str) -> None:
        message = self._order(logger)
        for worker in self._state.workers.values():
            self._outbox.to_worker(worker, message)
        if message.level is None:
            del self._forwarding[logger]

    def _order(self, logger: str) -> ForwardLogs:
        wanted = self._forwarding[logger].values()
        level = min((order.level for order in wanted if order.level is not None), default=None)
        return ForwardLogs(logger, level, sorted({pid for order in wanted for pid in order.pids}))

    def log_entry(self, worker: SchedWorker, message: LogEntry) -> None:
        """A record of a worker's: for those who asked for it, and for as much."""
        for client, order in self._forwarding.get(message.forwarded, {}).items():
            if order.level is not None and message.level >= order.level:
                self._outbox.to_client(client, message)

    # --- coming and going ---

    def worker_joined(self, worker: SchedWorker) -> None:
        """It is told whose logs to send."""
        for logger in self._forwarding:
            self._outbox.to_worker(worker, self._order(logger))

    def worker_left(self, worker: SchedWorker) -> None:
        """It will answer nothing any more."""
        for number, inquiry in list(self._open.items()):
            if worker in inquiry.waiting:
                del inquiry.waiting[worker]
                self._settle(number, inquiry)

    def client_left(self, client: SchedClient) -> None:
        """Nobody wants its answers any more."""
        self._open = {number: inquiry for number, inquiry in self._open.items() if inquiry.client is not client}
        for logger, wanted in list(self._forwarding.items()):
            if wanted.pop(client, None) is not None:
                self._spread(logger)
