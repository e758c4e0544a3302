"""A whole cluster without threads, processes and clocks: real cores, fake links, nothing happens by itself.

    SimulatedClient ══ links ══ SchedulerCore ══ links ══ SimulatedWorker (WorkerCore) ══ requests ══ its peers

Who drives it picks the next thing to happen among ``steps()``: one message or all of a link, one thread's beginning
or end, one answer of a peer. After each, the invariants of the core that was touched are checked.

Values are symbols: the value of ``f-3``, which depends on ``f-1`` and ``d-0``, is ``f-3(f-1(),d-0)``. So it shows
when a task is given a wrong input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import msgspec

from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.scheduler import invariants
from nbcluster.scheduler.core import SchedulerCore
from nbcluster.scheduler.events import (
    ClientJoined,
    ClientLeft,
    Event,
    FromClient,
    FromWorker,
    RetireWorkers,
    WorkerJoined,
    WorkerLeft,
)
from nbcluster.scheduler.outbox import Retired, ToClient, ToWorker
from nbcluster.scheduler.state import Settings
from nbcluster.types import Address, Key, RunId, Status, WorkerName
from nbcluster.worker.core import WorkerCore
from nbcluster.worker.events import Finished, InputsLost, RunsEnded
from nbcluster.worker.state import WorkerTask
from tests.support.fake_link import FakeLink
from tests.support.fake_worker_shell import FakeShell

ALL = 1_000_000
LARGE = 10_000
"""Bytes that a large result is said to have."""

TINY = Settings(
    inline_limit=60, inline_budget=200, client_budget=100, most_ahead=3, allowed_failures=1, story_length=50
)
"""Limits that a handful of tasks reach."""

_encode = msgspec.msgpack.Encoder(enc_hook=repr).encode


@dataclass(frozen=True)
class Graph:
    """What there is to compute, and to scatter. Keys of data begin with ``d``."""

    dependencies: Mapping[Key, tuple[Key, ...]]
    large: frozenset[Key] = frozenset()

    def value(self, key: Key) -> str:
        """What a key means."""
        if key.startswith("d"):
            return key
        return f"{key}({','.join(self.value(needed) for needed in self.dependencies[key])})"

    def datum(self, key: Key) -> m.DataItem:
        """Data to scatter, or to fetch."""
        return m.DataItem(key, Payload(self.value(key).encode()), self.nbytes(key), "str")

    def nbytes(self, key: Key) -> int:
        """How large it says it is."""
        return LARGE if key in self.large else len(self.value(key))


class SimulatedWorker(FakeShell):
    """A worker's core, its store, its threads, and its links."""

    def __init__(self, name: WorkerName, number: int, nthreads: int, resources: dict[str, float], graph: Graph) -> None:
        self.name = name
        self.nthreads = nthreads
        self.address: Address = f"fake://{name}/{number}"
        super().__init__(WorkerCore(self.address))
        self.resources = resources
        self.inbox = FakeLink()
        self.outbox = FakeLink()
        self.answers: dict[Address, list[m.DataItem]] = {}
        """What peers have answered, and is still under way."""
        self.functions: set[bytes] = set()
        self.dead = False
        self._graph = graph

    def registration(self) -> m.RegisterWorker:
        return m.RegisterWorker(self.name, self.address, self.nthreads, 1, None, self.resources)

    def receive(self, messages: list[Any]) -> None:
        """What the scheduler sent."""
        for_core = []
        for message in messages:
            if isinstance(message, m.DefineFunctions):
                self.functions.update(message.functions)
            elif isinstance(message, m.ForgetFunctions):
                assert self.functions.issuperset(message.functions)
                self.functions.difference_update(message.functions)
            else:
                for_core.append(message)
        if for_core:
            self.outbox.send(*self.tell(*for_core))

    @property
    def has_seat(self) -> bool:
        """True if a thread has nothing to run."""
        return len(self.running) - len(self.seceded) < self.nthreads

    def end(self, run_id: RunId, how: str) -> None:
        """A thread is through with a run."""
        run = self.running.pop(run_id)
        self.seceded.discard(run_id)
        key = run.task.key
        outcome: Any
        if how == "erred":
            outcome = m.TaskErred(key, run_id, Payload(b"error"), "error", 0, 0.0, 1.0)
        elif how == "rescheduled":
            outcome = m.TaskRescheduled(key, run_id)
        elif how == "lost" and (on_disk := [needed for needed in run.inputs or () if needed in self.store]):
            outcome = InputsLost(key, run_id, on_disk)
        else:
            value = Payload(self._compute(run).encode())
            small = None if key in self._graph.large else value
            done = m.TaskDone(key, run_id, self._graph.nbytes(key), "str", 0, 0.0, 0.01, small)
            outcome = Finished(done, value)
        self.outbox.send(*self.handle(RunsEnded([outcome])))

    def _compute(self, run: WorkerTask) -> str:
        inputs = run.inputs or {}
        value = f"{run.task.key}({','.join(inputs[d.key].data.decode() for d in run.task.dependencies)})"
        assert value == self._graph.value(run.task.key), f"{run} has computed {value}"
        return value

    def holding(self, keys: Iterable[Key]) -> list[m.DataItem]:
        """What of these it holds."""
        return [m.DataItem(key, self.store[key], self._graph.nbytes(key), "str") for key in keys if key in self.store]


@dataclass(eq=False)
class SimulatedClient:
    """A client that keeps the states of keys as the real one does."""

    id: str
    graph: Graph
    status: dict[Key, str] = field(default_factory=dict)
    """Pending, finished, error or cancelled, for each key that it holds futures for."""
    failures: dict[Key, m.Failure] = field(default_factory=dict)
    located: dict[Key, m.Location] = field(default_factory=dict)
    inbox: FakeLink = field(default_factory=FakeLink)
    outbox: FakeLink = field(default_factory=FakeLink)

    def receive(self, messages: list[Any]) -> None:
        """What the scheduler sent."""
        for message in messages:
            if isinstance(message, m.KeysDone):
                for item in message.items:
                    if item.payload is not None:
                        assert item.payload.data.decode() == self.graph.value(item.key)
                    self._now(item.key, "finished")
            elif isinstance(message, m.KeyErred):
                self._now(message.key, "error")
                self.failures[message.key] = message.error
            elif isinstance(message, m.KeysPending):
                for key in message.keys:
                    self._now(key, "pending")
            elif isinstance(message, m.KeysCancelled):
                for key in message.keys:
                    self._now(key, "cancelled")
            elif isinstance(message, m.Located):
                self.located = {item.key: item for item in message.items}

    def _now(self, key: Key, status: str) -> None:
        if self.status.get(key, "cancelled") != "cancelled":
            self.status[key] = status

    def want(self, keys: Iterable[Key], message: Message) -> None:
        """Hold futures, and send what goes with them."""
        for key in keys:
            if self.status.get(key, "cancelled") == "cancelled":
                self.status[key] = "pending"
        self.outbox.send(message)

    def release(self, keys: list[Key]) -> None:
        """Let futures die."""
        for key in keys:
            del self.status[key]
        self.outbox.send(m.ReleaseKeys(keys))

    def cancel(self, keys: list[Key], force: bool) -> None:
        """Cancel futures: for this client they are cancelled at once."""
        for key in keys:
            del self.status[key]
        self.outbox.send(m.CancelKeys(keys, "cancelled", "simulated", force))

    def retry(self, keys: list[Key]) -> None:
        """Have erred tasks run again."""
        for key in keys:
            if self.status[key] == "error":
                self.status[key] = "pending"
        self.outbox.send(m.RetryKeys(keys))


Step = tuple[str, Any, Callable[..., None]]
"""A name, whom it concerns, and how to take it."""


class SimulatedCluster:
    """All of them. ``trace`` is a hash over everything that the scheduler was told and said."""

    def __init__(self, graph: Graph, settings: Settings = TINY) -> None:
        self.graph = graph
        self.core = SchedulerCore(settings)
        self.workers: dict[WorkerName, SimulatedWorker] = {}
        self.leaving: dict[Address, tuple[SimulatedWorker, WorkerLeft]] = {}
        """Dead workers whose last reports the scheduler has not read yet."""
        self.clients: dict[str, SimulatedClient] = {}
        self.retired: set[Address] = set()
        self.now = 0.0
        self._numbers = 0
        self._trace = hashlib.blake2b(digest_size=16)

    @property
    def trace(self) -> str:
        return self._trace.hexdigest()

    def handle(self, event: Event) -> None:
        """Run one event through the scheduler's core."""
        self.now += 0.001
        self._trace.update(_encode((type(event).__name__, [_plain(part) for part in event])))
        for command in self.core.handle(event, self.now):
            self._trace.update(_encode((type(command).__name__, list(command))))
            if isinstance(command, ToWorker):
                worker = self.workers.get(command.name)
                if worker is not None:
                    worker.inbox.send(*command.messages)
            elif isinstance(command, ToClient):
                client = self.clients.get(command.id)
                if client is not None:
                    client.inbox.send(*command.messages)
            elif isinstance(command, Retired) and command.name in self.workers:  # else it has just died
                self.retired.add(self.workers[command.name].address)
        invariants.check(self.core)

    # --- what may happen next ---

    def steps(self) -> list[Step]:
        """All that may happen next, in an order that depends on nothing but the past."""
        found: list[Step] = []
        for client in self.clients.values():
            if client.outbox:
                found.append(("client speaks", client, self.client_speaks))
            if client.inbox:
                found.append(("client listens", client, self.client_listens))
        for worker, _ in self.leaving.values():
            found.append(("last words", worker, self.last_words))
        for worker in self.workers.values():
            if worker.outbox:
                found.append(("worker speaks", worker, self.worker_speaks))
            if worker.inbox:
                found.append(("worker listens", worker, self.worker_listens))
            if worker.recalls:
                found.append(("recall", worker, self.answer_recall))
            if worker.queued and worker.has_seat:
                found.append(("start", worker, self.start))
            if worker.running:
                found.append(("end", worker, self.end))
            for holder in worker.requests:
                if holder in worker.answers:
                    found.append(("answer arrives", (worker, holder), self.answer_arrives))
                else:
                    found.append(("peer answers", (worker, holder), self.peer_answers))
        return found

    def take(self, step: Step, count: int = ALL, pick: int = 0, how: str = "done") -> None:
        """Take a step: so many messages, this one of the runs, which ends like that."""
        name, whom, action = step
        if name in ("start", "end"):
            action(whom, pick, how)
        elif name in ("answer arrives", "peer answers"):
            action(*whom)
        else:
            action(whom, count)

    def client_speaks(self, client: SimulatedClient, count: int) -> None:
        self.handle(FromClient(client.id, client.outbox.take(count)))

    def client_listens(self, client: SimulatedClient, count: int) -> None:
        client.receive(client.inbox.take(count))

    def worker_speaks(self, worker: SimulatedWorker, count: int) -> None:
        self.handle(FromWorker(worker.name, worker.outbox.take(count)))

    def worker_listens(self, worker: SimulatedWorker, count: int) -> None:
        worker.receive(worker.inbox.take(count))

    def answer_recall(self, worker: SimulatedWorker, count: int) -> None:
        worker.outbox.send(*worker.answer_recall())

    def start(self, worker: SimulatedWorker, pick: int, how: str) -> None:
        run_id = list(worker.queued)[pick % len(worker.queued)]
        assert worker.queued[run_id].task.function in worker.functions, "a run without its function"
        worker.start(run_id)

    def may_change_seat(self) -> list[tuple[SimulatedWorker, RunId]]:
        """Runs that may secede, or rejoin."""
        return [
            (worker, run_id)
            for worker in self.workers.values()
            for run_id in worker.running
            if run_id not in worker.seceded or worker.has_seat
        ]

    def change_seat(self, worker: SimulatedWorker, run_id: RunId) -> None:
        worker.outbox.send(*worker.change_seat(run_id))

    def end(self, worker: SimulatedWorker, pick: int, how: str) -> None:
        worker.end(list(worker.running)[pick % len(worker.running)], how)

    def peer_answers(self, worker: SimulatedWorker, holder: Address) -> None:
        """A peer takes from its store what was asked of it; a dead one does not answer."""
        peer = next((peer for peer in self.workers.values() if peer.address == holder), None)
        if peer is None:
            worker.outbox.send(*worker.fail(holder))
        else:
            worker.answers[holder] = peer.holding(worker.requests[holder])

    def answer_arrives(self, worker: SimulatedWorker, holder: Address) -> None:
        worker.outbox.send(*worker.answer(holder, *worker.answers.pop(holder)))

    # --- faults ---

    def fetch_fails(self, worker: SimulatedWorker, holder: Address) -> None:
        """A peer link breaks, before or after the answer was sent."""
        worker.answers.pop(holder, None)
        worker.outbox.send(*worker.fail(holder))

    def worker_joins(self, name: WorkerName, nthreads: int = 1, resources: dict[str, float] | None = None) -> None:
        self._numbers += 1
        former = next((worker for worker, _ in self.leaving.values() if worker.name == name), None)
        if former is not None:  # a new worker of the same name says that the former is gone
            self._left(former)
        worker = self.workers[name] = SimulatedWorker(name, self._numbers, nthreads, resources or {}, self.graph)
        self.handle(WorkerJoined(worker.registration()))

    def worker_dies(self, name: WorkerName, blame: bool, last_words: bool) -> None:
        """Its link may still carry what it said before; what was said to it is lost."""
        worker = self.workers.pop(name)
        worker.dead = True
        worker.inbox.cut()
        if not last_words:
            worker.outbox.cut()
        running = frozenset(worker.running) if blame else frozenset()
        self.leaving[worker.address] = worker, WorkerLeft(name, running, "was killed by SIGKILL")

    def last_words(self, worker: SimulatedWorker, count: int) -> None:
        """The scheduler reads what a dead worker had sent, and then that it is gone."""
        if worker.outbox:
            self.handle(FromWorker(worker.name, worker.outbox.take(count)))
        else:
            self._left(worker)

    def _left(self, worker: SimulatedWorker) -> None:
        _, event = self.leaving.pop(worker.address)
        self.retired.discard(worker.address)
        self.handle(event)

    def may_retire(self) -> list[WorkerName]:
        """Workers that may go without loss: there is another that stays."""
        running = [w.name for w in self.core.state.workers.values() if w.status == Status.RUNNING]
        return [name for name in running if name in self.workers] if len(running) > 1 else []

    def worker_retires(self, name: WorkerName) -> None:
        self.handle(RetireWorkers([name]))

    # --- clients ---

    def client_joins(self) -> SimulatedClient:
        self._numbers += 1
        client = SimulatedClient(f"c{self._numbers}", self.graph)
        self.clients[client.id] = client
        self.handle(ClientJoined(client.id))
        return client

    def client_leaves(self, client: SimulatedClient) -> None:
        """Its link breaks: what it said last may not have arrived."""
        del self.clients[client.id]
        self.handle(ClientLeft(client.id))

    def submit(self, client: SimulatedClient, keys: Iterable[Key], options: m.TaskOptions | None = None) -> None:
        """Submit tasks after what they depend on; data is scattered."""
        calls = self._scattered(client, keys)
        for letter, keys_of_one in groupby(calls, lambda key: key[0]):
            self._submit(client, letter, list(keys_of_one), options)

    def submit_graph(
        self, client: SimulatedClient, keys: Collection[Key], options: m.TaskOptions | None = None
    ) -> None:
        """Submit the same as one graph: nobody holds futures for what ``keys`` depend on."""
        calls = self._scattered(client, keys)
        functions = {key[0].encode(): Payload(key[0].encode()) for key in calls}
        tasks = [
            m.GraphTask(key, key[0].encode(), b"arguments", list(self.graph.dependencies[key]), key in keys)
            for key in calls
        ]
        client.want(keys, m.SubmitGraph(functions, tasks, options or m.TaskOptions()))

    def _scattered(self, client: SimulatedClient, keys: Iterable[Key]) -> list[Key]:
        """Scatter the data that keys depend on; returns all calls, each after those that it depends on."""
        ordered: dict[Key, None] = {}
        for key in keys:
            self._with_dependencies(client, key, ordered)
        data = [self.graph.datum(key) for key in ordered if key.startswith("d")]
        if data:
            client.want([item.key for item in data], m.Scatter(data))
        return [key for key in ordered if not key.startswith("d")]

    def _with_dependencies(self, client: SimulatedClient, key: Key, ordered: dict[Key, None]) -> None:
        for needed in self.graph.dependencies.get(key, ()):
            if client.status.get(needed, "cancelled") == "cancelled":
                self._with_dependencies(client, needed, ordered)
        ordered[key] = None

    def _submit(self, client: SimulatedClient, letter: str, keys: list[Key], options: m.TaskOptions | None) -> None:
        dependencies = {
            index: list(self.graph.dependencies[key]) for index, key in enumerate(keys) if self.graph.dependencies[key]
        }
        function = letter.encode()
        arguments = [b"arguments"] * len(keys)
        options = options or m.TaskOptions()
        client.want(keys, m.SubmitTasks(function, Payload(function), keys, arguments, options, dependencies))

    # --- in the end ---

    def settle(self, most: int = 50_000) -> None:
        """Let everything happen that is under way, one after the other, and nothing else."""
        for turn in range(most):
            steps = self.steps()
            if not steps:
                break
            self.take(steps[turn % len(steps)])
        else:
            raise AssertionError(f"the cluster never came to rest: {[step[:2] for step in steps]}")
        for name in [worker.name for worker in self.workers.values() if worker.address in self.retired]:
            self.worker_dies(name, blame=False, last_words=True)
        if self.leaving:
            self.settle(most)

    def heal(self) -> None:
        """Nothing dies any more, and there is a worker for every wish."""
        self.settle()
        self.worker_joins("spare")
        for name in ("special", 0):
            if name in self.workers:
                self.worker_retires(name)
                self.settle()
                assert name not in self.workers, f"{name} never got away: {self.core.state.retiring}"
            self.worker_joins(name, 1, {"GPU": 1.0})
        self.settle()

    def check_agreement(self) -> None:
        """At rest, workers hold and run what the scheduler believes, and clients know what is there."""
        state = self.core.state
        assert state.workers.keys() == self.workers.keys()
        for name, worker in self.workers.items():
            believed = state.workers[name]
            assert set(worker.store) == {task.key for task in believed.holds}, f"what {name} holds"
            assert set(worker.core.state.runs) == set(believed.processing), f"what {name} runs"
            assert worker.functions == believed.functions, f"which functions {name} has"
            for key, value in worker.store.items():
                assert value.data.decode() == self.graph.value(key)
        for client in self.clients.values():
            assert "pending" not in client.status.values(), f"{client.id} still waits: {client.status}"
            for key, status in client.status.items():
                if status == "finished":
                    self._check_result(client, key)

    def _check_result(self, client: SimulatedClient, key: Key) -> None:
        client.outbox.send(m.Locate(1, [key]))
        self.client_speaks(client, ALL)
        self.client_listens(client, ALL)
        location = client.located[key]
        payloads = [location.payload] if location.payload is not None else []
        for worker in self.workers.values():
            if worker.address in location.holders:
                payloads += [item.payload for item in worker.holding([key])]
        assert payloads, f"{key} is finished, and nowhere"
        assert all(payload.data.decode() == self.graph.value(key) for payload in payloads)

    def check_nothing_is_left(self) -> None:
        """Nobody wants anything: nobody holds anything."""
        state = self.core.state
        assert not state.tasks
        assert not state.functions
        assert not state.scattering
        assert not state.inlined_bytes
        for worker in self.workers.values():
            left = worker.core.state
            assert not any((worker.store, worker.queued, worker.running, worker.functions)), f"{worker.name} keeps"
            assert not any((left.runs, left.by_key, left.held, left.fetches, left.peers, left.recalling))


def _plain(part: Any) -> Any:
    return sorted(part) if isinstance(part, frozenset) else part
