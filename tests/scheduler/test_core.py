"""The scheduler's core, driven by any interleaving of its links, with all invariants checked after each event."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nbcluster.protocol import messages as m
from nbcluster.protocol.operating import OperationDone, PauseChanged, Rebalance, Replicate, ResourcesChanged
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.running import CallEnded, FunctionRan, KeptName, Returned, RunCall, RunFunction
from nbcluster.scheduler.core import SchedulerCore
from nbcluster.scheduler.events import (
    ClientJoined,
    ClientLeft,
    DropSpares,
    Forget,
    FromClient,
    FromWorker,
    RetireWorkers,
    Tidy,
    WorkerJoined,
    WorkerLeft,
)
from nbcluster.scheduler.invariants import check
from nbcluster.scheduler.outbox import Retired, ToClient, ToWorker
from nbcluster.scheduler.state import Settings

KEYS = [f"f-{index}" for index in range(8)]
"""Task ``f-i`` may depend on tasks with smaller numbers only: there are no cycles."""


class ModelWorker:
    """A worker that is honest, and slow: each of its steps is an event of its own."""

    def __init__(self, name: int) -> None:
        self.name = name
        self.address = f"fake://{name}"
        self.inbox: deque[Any] = deque()
        self.outbox: deque[Any] = deque()
        self.queue: dict[int, m.ComputeTask] = {}
        self.data: set[str] = set()

    def take(self) -> None:
        """Handle the oldest message of the scheduler."""
        message = self.inbox.popleft()
        if isinstance(message, m.Compute):
            for task in message.tasks:
                self.queue[task.run_id] = task
        elif isinstance(message, m.FreeKeys):
            self.data.difference_update(message.keys)
            self.queue = {r: t for r, t in self.queue.items() if t.key not in message.keys}
        elif isinstance(message, m.RecallTasks):
            given = [run for run in message.run_ids if run in self.queue]
            for run in given:
                del self.queue[run]
            self.outbox.append(m.TasksRecalled(given, message.request))
        elif isinstance(message, m.PutData):
            self.data.update(item.key for item in message.items)
            self.outbox.append(m.DataAdded([m.StoredData(item.key, 1, item.stamp) for item in message.items]))
        elif isinstance(message, RunCall):
            self.outbox.append(CallEnded(message.number, Returned(Payload(b"value"))))


class Cluster(RuleBasedStateMachine):
    """Clients, links and workers around one core."""

    put_off = 0

    def __init__(self) -> None:
        super().__init__()
        tiny = Settings(inline_limit=4, inline_budget=20, client_budget=10, most_ahead=3, put_off=self.put_off)
        self.core = SchedulerCore(tiny)
        self.now = 0.0
        self.workers: dict[int, ModelWorker] = {}
        self.names = 0
        self.requests = 0
        self.asked: set[tuple[str, int]] = set()
        """Operations that have not been answered."""
        self.wants: dict[str, set[str]] = {}
        self.known: dict[str, dict[str, str]] = {}
        """What each client has been told of its keys."""
        self.handle(ClientJoined("c0"))
        self.wants["c0"], self.known["c0"] = set(), {}

    def handle(self, event: Any) -> None:
        self.now += 0.001
        for command in self.core.handle(event, self.now):
            if isinstance(command, ToWorker):
                assert isinstance(command.name, int)
                self.workers[command.name].inbox.extend(command.messages)
            elif isinstance(command, ToClient):
                for message in command.messages:
                    self.tell(command.id, message)
            else:
                assert isinstance(command, Retired)
        check(self.core)

    def tell(self, client: str, message: Any) -> None:
        known = self.known[client]
        if isinstance(message, m.KeysDone):
            known.update({item.key: "done" for item in message.items})
        elif isinstance(message, m.KeyErred):
            known[message.key] = "erred"
        elif isinstance(message, m.KeysPending):
            known.update(dict.fromkeys(message.keys, "pending"))
        elif isinstance(message, m.KeysCancelled):
            for key in message.keys:
                self.wants[client].discard(key)
                known.pop(key, None)
        elif isinstance(message, (OperationDone, FunctionRan, m.CallFailed)):
            number = message.id if isinstance(message, m.CallFailed) else message.request
            assert (client, number) in self.asked, "answered twice, or never asked"
            self.asked.discard((client, number))

    # --- clients ---

    @precondition(lambda self: len(self.wants) < 3)
    @rule()
    def client_joins(self) -> None:
        name = f"c{self.names}x"
        self.names += 1
        self.wants[name], self.known[name] = set(), {}
        self.handle(ClientJoined(name))

    @precondition(lambda self: self.wants)
    @rule(data=st.data())
    def client_leaves(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.wants)))
        del self.wants[name]
        self.handle(ClientLeft(name))
        del self.known[name]

    @precondition(lambda self: self.wants)
    @rule(data=st.data())
    def submit(self, data: st.DataObject) -> None:
        client = data.draw(st.sampled_from(sorted(self.wants)))
        numbers = data.draw(st.lists(st.integers(0, len(KEYS) - 1), min_size=1, max_size=4, unique=True))
        dependencies = {}
        for index, number in enumerate(numbers):
            if number and data.draw(st.booleans()):
                dependencies[index] = [KEYS[data.draw(st.integers(0, number - 1))]]
        keys = [KEYS[number] for number in numbers]
        options = m.TaskOptions(
            workers=data.draw(st.sampled_from([None, None, None, ["0"], ["9"]])),
            allow_other_workers=data.draw(st.booleans()),
            retries=data.draw(st.integers(0, 1)),
            resources=data.draw(st.sampled_from([{}, {}, {"GPU": 1.0}])),
        )
        self.wants[client].update(keys)
        function = data.draw(st.sampled_from([b"f", b"g"]))
        arguments = [b"args"] * len(keys)
        message = m.SubmitTasks(function, Payload(function), keys, arguments, options, dependencies)
        self.handle(FromClient(client, [message]))

    @precondition(lambda self: any(self.wants.values()))
    @rule(data=st.data(), kind=st.sampled_from(["release", "cancel", "force", "retry", "locate", "want"]))
    def ask(self, data: st.DataObject, kind: str) -> None:
        client = data.draw(st.sampled_from(sorted(c for c, keys in self.wants.items() if keys)))
        keys = data.draw(st.lists(st.sampled_from(sorted(self.wants[client])), min_size=1, unique=True))
        if kind == "release":
            self.wants[client].difference_update(keys)
            for key in keys:
                self.known[client].pop(key, None)
            self.handle(FromClient(client, [m.ReleaseKeys(keys)]))
        elif kind == "retry":
            self.handle(FromClient(client, [m.RetryKeys(keys)]))
        elif kind == "locate":
            self.handle(FromClient(client, [m.Locate(1, keys)]))
        elif kind == "want":
            self.handle(FromClient(client, [m.WantKeys(keys)]))
        else:
            self.wants[client].difference_update(keys)
            for key in keys:
                self.known[client].pop(key, None)
            self.handle(FromClient(client, [m.CancelKeys(keys, "cancelled", "test", kind == "force")]))

    @precondition(lambda self: self.wants)
    @rule(data=st.data(), broadcast=st.booleans())
    def scatter(self, data: st.DataObject, broadcast: bool) -> None:
        client = data.draw(st.sampled_from(sorted(self.wants)))
        key = data.draw(st.sampled_from(KEYS[:3]))
        self.wants[client].add(key)
        item = m.DataItem(key, Payload(b"x" * data.draw(st.sampled_from([2, 9]))), 3, "int")
        self.handle(FromClient(client, [m.Scatter([item], None, broadcast)]))

    @precondition(lambda self: self.wants)
    @rule(data=st.data(), kind=st.sampled_from(["replicate", "replicate", "rebalance", "run", "keep", "drop"]))
    def operate(self, data: st.DataObject, kind: str) -> None:
        client = data.draw(st.sampled_from(sorted(self.wants)))
        self.requests = number = self.requests + 1
        self.asked.add((client, number))
        name = KeptName("worker", "plugin")
        message: Any
        if kind == "replicate":
            keys = data.draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True))
            message = Replicate(number, keys, data.draw(st.sampled_from([None, 1, 2])))
        elif kind == "rebalance":
            message = Rebalance(number)
        elif kind == "run":
            message = RunFunction(number, Payload(b"call"))
        elif kind == "keep":
            message = RunFunction(number, Payload(b"call"), keep=name)
        else:
            message = RunFunction(number, Payload(b"call"), drop=name)
        self.handle(FromClient(client, [message]))

    @rule()
    def spare_copies_are_dropped(self) -> None:
        self.handle(DropSpares())

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), paused=st.booleans())
    def worker_pauses_or_resumes(self, data: st.DataObject, paused: bool) -> None:
        self.workers[data.draw(st.sampled_from(sorted(self.workers)))].outbox.append(PauseChanged(paused))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), gpus=st.sampled_from([0.0, 1.0, 2.0]))
    def worker_offers_more_or_less(self, data: st.DataObject, gpus: float) -> None:
        worker = self.workers[data.draw(st.sampled_from(sorted(self.workers)))]
        worker.outbox.append(ResourcesChanged({"GPU": gpus}))

    @rule()
    def forget_everything(self) -> None:
        if self.names % 5 == 4:
            self.handle(Forget("restarted", "test"))

    # --- workers ---

    @precondition(lambda self: len(self.workers) < 4)
    @rule(gpu=st.booleans(), nthreads=st.integers(1, 2))
    def worker_joins(self, gpu: bool, nthreads: int) -> None:
        name = next(n for n in range(5) if n not in self.workers)
        self.workers[name] = worker = ModelWorker(name)
        self.names += 1
        worker.address += f"/{self.names}"
        resources = {"GPU": 1.0} if gpu else {}
        self.handle(WorkerJoined(m.RegisterWorker(name, worker.address, nthreads, 1, None, resources)))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), blame=st.booleans())
    def worker_dies(self, data: st.DataObject, blame: bool) -> None:
        worker = self.workers.pop(data.draw(st.sampled_from(sorted(self.workers))))
        running = frozenset(list(worker.queue)[:1]) if blame else frozenset()
        self.handle(WorkerLeft(worker.name, running, "killed by SIGKILL"))

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def worker_retires(self, data: st.DataObject) -> None:
        self.handle(RetireWorkers([data.draw(st.sampled_from(sorted(self.workers)))]))

    @precondition(lambda self: any(w.inbox for w in self.workers.values()))
    @rule(data=st.data())
    def worker_takes_a_message(self, data: st.DataObject) -> None:
        names = sorted(name for name, worker in self.workers.items() if worker.inbox)
        worker = self.workers[data.draw(st.sampled_from(names))]
        if isinstance(worker.inbox[0], m.AcquireReplicas):
            self.copy(worker, worker.inbox.popleft())
        else:
            worker.take()

    def copy(self, worker: ModelWorker, message: m.AcquireReplicas) -> None:
        added, missing = [], []
        for location in message.items:
            if self.fetch(worker, location.key, location.holders):
                added.append(m.StoredData(location.key, 1))
            else:
                missing += [m.MissingData(location.key, holder) for holder in location.holders]
        if added:
            worker.outbox.append(m.DataAdded(added))
        if missing:
            worker.outbox.append(m.ReplicasFailed(missing))

    def fetch(self, worker: ModelWorker, key: str, holders: list[str]) -> bool:
        for other in self.workers.values():
            if other.address in holders and key in other.data:
                worker.data.add(key)
                return True
        return False

    @precondition(lambda self: any(w.queue for w in self.workers.values()))
    @rule(data=st.data(), outcome=st.sampled_from(["done", "done", "done", "large", "erred", "again"]))
    def worker_runs_a_task(self, data: st.DataObject, outcome: str) -> None:
        names = sorted(name for name, worker in self.workers.items() if worker.queue)
        worker = self.workers[data.draw(st.sampled_from(names))]
        self.run_one(worker, outcome)

    def run_one(self, worker: ModelWorker, outcome: str = "done") -> None:
        run_id, task = next(iter(worker.queue.items()))
        del worker.queue[run_id]
        missing = []
        for needed in task.dependencies:
            if needed.payload is None and needed.key not in worker.data:
                if self.fetch(worker, needed.key, needed.holders):
                    worker.outbox.append(m.DataAdded([m.StoredData(needed.key, 1)]))
                else:
                    missing += [m.MissingData(needed.key, holder) for holder in needed.holders]
        if missing:
            worker.outbox.append(m.TaskReturned(task.key, run_id, missing))
        elif outcome == "erred":
            worker.outbox.append(m.TaskErred(task.key, run_id, Payload(b"e"), "e", 0, 0.0, 1.0))
        elif outcome == "again":
            worker.outbox.append(m.TaskRescheduled(task.key, run_id))
        else:
            worker.data.add(task.key)
            payload = None if outcome == "large" else Payload(b"xx")
            done = m.TaskDone(task.key, run_id, 9, "int", 0, 0.0, 0.001, payload)
            worker.outbox.append(m.TasksDone([done]))

    @precondition(lambda self: any(w.outbox for w in self.workers.values()))
    @rule(data=st.data())
    def scheduler_reads_a_worker(self, data: st.DataObject) -> None:
        names = sorted(name for name, worker in self.workers.items() if worker.outbox)
        worker = self.workers[data.draw(st.sampled_from(names))]
        self.handle(FromWorker(worker.name, [worker.outbox.popleft()]))

    # --- in the end ---

    @invariant()
    def clients_know_what_is_there(self) -> None:
        for client, keys in self.wants.items():
            for key in keys:
                task = self.core.state.tasks.get(key)
                assert task is not None, f"{client} wants {key}, which the scheduler has forgotten"

    def teardown(self) -> None:
        """Heal: everything that is wanted ends, every client is told, and nothing is left when nobody wants."""
        for name in list(self.workers):
            if name in self.core.state.retiring:
                del self.workers[name]
                self.handle(WorkerLeft(name))
        for worker in self.workers.values():
            worker.outbox.append(PauseChanged(False))
        self.names += 1
        for name in (0, 9):
            former = self.workers.pop(name, None)
            if former is not None:
                self.handle(WorkerLeft(name))
            self.workers[name] = worker = ModelWorker(name)
            worker.address += f"/last-{self.names}"
            self.handle(WorkerJoined(m.RegisterWorker(name, worker.address, 1, 1, None, {"GPU": 1.0})))
        for _ in range(2000):
            busy = False
            for worker in list(self.workers.values()):
                while worker.inbox:
                    busy = True
                    if isinstance(worker.inbox[0], m.AcquireReplicas):
                        self.copy(worker, worker.inbox.popleft())
                    else:
                        worker.take()
                if worker.queue:
                    busy = True
                    self.run_one(worker)
                while worker.outbox:
                    busy = True
                    self.handle(FromWorker(worker.name, [worker.outbox.popleft()]))
            if not busy:
                break
        else:
            raise AssertionError("the cluster never came to rest")
        for client, keys in self.wants.items():
            for key in keys:
                assert self.known[client].get(key) in ("done", "erred"), (client, key, self.core.state.tasks)
        assert not {asked for asked in self.asked if asked[0] in self.wants}, "everybody who asked was answered"
        for client in list(self.wants):
            del self.wants[client]
            self.handle(ClientLeft(client))
        self.handle(Tidy(1000))
        assert not self.core.replicas.jobs
        assert not self.core.state.replicated
        assert not self.core.state.pinned
        assert not self.core.state.tasks
        assert not self.core.state.functions
        assert not self.core.state.scattering


Cluster.TestCase.settings = settings(
    max_examples=50, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEveryInterleaving = Cluster.TestCase


class ClusterThatPutsOff(Cluster):
    """The same where up to three results that nobody wants any more are kept for a while."""

    put_off = 3

    @precondition(lambda self: self.core.put_off)
    @rule(most=st.integers(1, 3))
    def tidy(self, most: int) -> None:
        self.handle(Tidy(most))


ClusterThatPutsOff.TestCase.settings = Cluster.TestCase.settings
TestEveryInterleavingWithWhatIsPutOff = ClusterThatPutsOff.TestCase
