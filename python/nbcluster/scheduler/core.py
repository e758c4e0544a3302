"""The scheduler as a pure state machine: events in, commands out; no I/O, no clock, no await.

    core = SchedulerCore()
    for command in core.handle(FromClient("c1", [SubmitTasks(…)]), now):
        …                                   # ToWorker("w0", [DefineFunctions(…), Compute(…)])

The server (``server.py``), the property tests and the simulator drive this very class.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from nbcluster.protocol import coordination as c
from nbcluster.protocol import inspection as i
from nbcluster.protocol import messages as m
from nbcluster.protocol.delivery import FindReceivers
from nbcluster.protocol.operating import ManageMemory, PauseChanged, Rebalance, Replicate, ResourcesChanged
from nbcluster.protocol.recreation import DescribeTask
from nbcluster.protocol.running import CallEnded, RunFunction
from nbcluster.scheduler.coordination.desk import Coordination
from nbcluster.scheduler.events import (
    ClientJoined,
    ClientLeft,
    DropSpares,
    Event,
    Forget,
    FromClient,
    FromWorker,
    Logged,
    RetireWorkers,
    Tick,
    Tidy,
    WorkerJoined,
    WorkerLeft,
)
from nbcluster.scheduler.graph_requests import GraphRequests
from nbcluster.scheduler.inquiries import Inquiries
from nbcluster.scheduler.machine import Machine
from nbcluster.scheduler.outbox import Command, Outbox
from nbcluster.scheduler.placement import Placement
from nbcluster.scheduler.recreation import Recreation
from nbcluster.scheduler.replicas import Replicas
from nbcluster.scheduler.reports import Reports
from nbcluster.scheduler.requests import Requests
from nbcluster.scheduler.running import Running
from nbcluster.scheduler.state import SchedClient, SchedTask, SchedulerState, SchedWorker, Settings
from nbcluster.types import Status

_PATIENT = frozenset({m.SubmitTasks, m.ReleaseKeys})
"""Before anything else that a client says, what nobody wants any more is forgotten: it may name such a key."""


class SchedulerCore:
    """Who knows every task, decides who runs it, and says who must be told."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.state = state = SchedulerState(settings or Settings())
        self._outbox = outbox = Outbox()
        self.placement = Placement(state, outbox)
        self._machine = Machine(state, outbox, self.placement)
        self.put_off: Collection[SchedTask] = self._machine.put_off
        """What nobody wants any more, and is kept until there is time for ``Tidy``."""
        self._requests = requests = Requests(state, self._machine, outbox)
        self._reports = reports = Reports(state, self._machine, self.placement, requests, outbox)
        self._inquiries = inquiries = Inquiries(state, self.placement, outbox)
        self.replicas = replicas = Replicas(state, self._machine, outbox)
        self.running = running = Running(state, outbox, reports.ready)
        self.coordination = Coordination(state, requests, outbox)
        self._on_request: dict[type, Callable[[Any, Any], None]] = {
            m.SubmitTasks: requests.submit,
            m.SubmitGraph: GraphRequests(state, self._machine, outbox).submit_graph,
            m.WantKeys: requests.want,
            m.ReleaseKeys: requests.release,
            m.CancelKeys: requests.cancel,
            m.RetryKeys: requests.retry,
            m.FinishKeys: requests.finish,
            m.Scatter: requests.scatter,
            m.Locate: requests.locate,
            FindReceivers: requests.find_receivers,
            m.ReportMissing: requests.report_missing,
            DescribeTask: Recreation(state, outbox).describe,
            i.Inspect: inquiries.ask,
            i.Hurry: inquiries.hurry,
            i.ForwardLogs: inquiries.forward_logs,
            RunFunction: running.run,
            Replicate: replicas.replicate,
            Rebalance: replicas.rebalance,
            ManageMemory: replicas.manage,
            **self.coordination.handlers,
        }
        self._on_report: dict[type, Callable[[Any, Any], None]] = {
            m.TasksDone: reports.tasks_done,
            m.TaskErred: reports.task_erred,
            m.TaskRescheduled: reports.rescheduled,
            m.TaskSeceded: reports.seceded,
            m.TaskRejoined: reports.rejoined,
            m.TaskReturned: reports.returned,
            m.TasksRecalled: reports.recalled,
            m.TaskOutput: reports.output,
            m.DataAdded: reports.data_added,
            m.DataShared: reports.data_shared,
            m.DataTakenAway: reports.data_taken_away,
            m.ReplicasFailed: self._replicas_failed,
            m.WorkerMetrics: reports.metrics,
            i.Seen: inquiries.seen,
            i.LogEntry: inquiries.log_entry,
            CallEnded: running.ended,
            PauseChanged: reports.pause_changed,
            ResourcesChanged: reports.resources_changed,
            c.LogEvent: lambda _, message: self.coordination.log(message),
        }
        self._on_event: dict[type, Callable[[Any], None]] = {
            FromClient: self._from_client,
            FromWorker: self._from_worker,
            ClientJoined: self._client_joined,
            ClientLeft: self._client_left,
            WorkerJoined: self._worker_joined,
            WorkerLeft: self._worker_left,
            RetireWorkers: self._retire,
            Forget: self._forget,
            DropSpares: lambda _: self.replicas.drop_spares(),
            Tick: lambda _: self.coordination.tick(),
            Tidy: lambda event: self._machine.tidy(event.most),
            Logged: lambda event: self.coordination.log(event.message),
        }

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take one event; return what must be sent. ``now`` is monotonic seconds."""
        self.state.now = now
        self.state.stimulus = type(event).__name__
        self._on_event[type(event)](event)
        self._machine.settle()
        self.placement.fill()
        if self.state.retiring:
            self._reports.check_retiring()
        if self.replicas.jobs:
            self.replicas.check()
        return self._outbox.flush()

    # --- events ---

    def _from_client(self, event: FromClient) -> None:
        client = self.state.clients.get(event.id)
        if client is None:
            return
        for message in event.messages:
            kind = type(message)
            self.state.stimulus = kind.__name__
            if kind not in _PATIENT:
                self._machine.put_nothing_off()
            self._on_request[kind](client, message)

    def _from_worker(self, event: FromWorker) -> None:
        worker = self.state.workers.get(event.name)
        if worker is None:
            return
        for message in event.messages:
            self.state.stimulus = type(message).__name__
            self._on_report[type(message)](worker, message)

    def _client_joined(self, event: ClientJoined) -> None:
        self.state.clients[event.id] = SchedClient(event.id)

    def _client_left(self, event: ClientLeft) -> None:
        client = self.state.clients.pop(event.id, None)
        if client is not None:
            for task in list(client.wants):
                self._machine.unwant(task, client)
            self._inquiries.client_left(client)
            self.coordination.client_left(event.id)

    def _worker_joined(self, event: WorkerJoined) -> None:
        worker = self._reports.joined(event.registration, self.state.now)
        self._inquiries.worker_joined(worker)
        self.running.joined(worker)
        if worker.status == Status.RUNNING:
            self._reports.ready(worker)
        self.coordination.note([worker.address, "all"], action="add-worker", worker=worker.address)

    def _worker_left(self, event: WorkerLeft) -> None:
        worker = self.state.workers.get(event.name)
        self._reports.left(event)
        if worker is not None:
            self._inquiries.worker_left(worker)
            self.running.left(worker, event.cause)
            address = worker.address
            self.coordination.note([address, "all"], action="remove-worker", worker=address, cause=event.cause)

    def _replicas_failed(self, worker: SchedWorker, message: m.ReplicasFailed) -> None:
        self._reports.replicas_failed(worker, message)
        self.replicas.failed(worker, message)

    def _retire(self, event: RetireWorkers) -> None:
        self._machine.put_nothing_off()  # else copies would be made of it
        self._reports.retire(event.names)

    def _forget(self, event: Forget) -> None:
        self._machine.put_nothing_off()
        for task in list(self.state.keeper.wants):
            self._machine.unwant(task, self.state.keeper)
        for client in self.state.clients.values():
            keys = [task.key for task in client.wants]
            for task in list(client.wants):
                self._machine.unwant(task, client)
            if keys:
                self._outbox.to_client(client, m.KeysCancelled(keys, event.reason, event.msg, client.let_go))
        self.coordination.restarted()
