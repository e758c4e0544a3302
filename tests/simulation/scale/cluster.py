"""A whole cluster under virtual time: the scheduler's real core, a client that streams, workers that come and go.

    client ══ link ══ SchedulerCore ══ link ══ SimulatedWorker (WorkerCore) ── requests ── its peers

What the scheduler does takes no virtual time: so it shows what placement costs, and nothing else. How much time the
core really takes is measured beside.
"""

from __future__ import annotations

import hashlib
import math
import random
import time
from collections.abc import Sized
from typing import Any, NamedTuple

import msgspec

from nbcluster.protocol import messages as m
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
from nbcluster.scheduler.state import PROCESSING, QUEUED, Settings
from nbcluster.types import Address, WorkerName
from tests.simulation.scale.client import StreamingClient
from tests.simulation.scale.engine import Engine
from tests.simulation.scale.meter import Meter
from tests.simulation.scale.network import Network, NetworkModel
from tests.simulation.scale.worker import SimulatedWorker
from tests.simulation.scale.workloads import WORKLOADS, Workload

METRICS_INTERVAL = 1.0
"""Seconds between two messages in which a worker says how it is."""

_encode = msgspec.msgpack.Encoder(enc_hook=repr).encode


class Life(NamedTuple):
    """One worker's, in virtual seconds."""

    joined: float
    speed: float
    left: float = math.inf
    """Since when it took nothing more."""
    crashed: bool = False
    """What it was running then was lost."""


class Scenario(NamedTuple):
    """What is simulated. The same scenario always has the same trace."""

    workload: str
    workers: int
    tasks: int
    threads: int = 1
    """Per worker."""
    shortest: float = 0.01
    """Seconds that no task takes less of."""
    window: int = 16
    """How many tasks per thread the client keeps under way."""
    seed: int = 1
    network: NetworkModel = NetworkModel()
    traced: bool = False
    """Compute a hash of everything that the scheduler is told and says. It takes time."""
    checked: bool = False
    """Recount the scheduler's whole state at the end."""

    @property
    def stream_seed(self) -> int:
        """Of the dice that make the tasks."""
        return self.seed + 2


class Figures(NamedTuple):
    """What came out."""

    scenario: Scenario
    tasks: int
    """Done; a result that was lost and computed again counts once."""
    events: int
    """That the scheduler handled."""
    examined: int
    """Candidates that placement and stealing looked at."""
    cpu: float
    """Seconds in the scheduler's core, in reality."""
    makespan: float
    """Virtual seconds until the client had the last result."""
    work: float
    """Thread-seconds of all runs."""
    avoidable: float
    """Thread-seconds idle while a task waited."""
    recomputed: int
    most_known: int
    """The most tasks that the scheduler knew at once."""
    wall: float
    """Seconds that the simulation took, in reality."""
    trace: str
    """A hash of all that the scheduler was told and said, if the scenario asks for it."""
    lives: list[Life]
    """Of all workers."""

    @property
    def events_per_task(self) -> float:
        return self.events / self.tasks

    @property
    def work_per_task(self) -> float:
        """Events handled and candidates examined."""
        return (self.events + self.examined) / self.tasks

    @property
    def idle(self) -> float:
        """The share by which idle threads lengthened the work."""
        return self.avoidable / self.work

    @property
    def cpu_per_task(self) -> float:
        return self.cpu / self.tasks


class Simulation:
    """One run of one scenario."""

    def __init__(self, scenario: Scenario, settings: Settings | None = None) -> None:
        self.scenario = scenario
        self.workload: Workload = WORKLOADS[scenario.workload]
        self.dice = random.Random(scenario.seed)
        self.engine = Engine()
        self.network = Network(self.engine, scenario.network, random.Random(scenario.seed + 1))
        self.meter = Meter(self.engine)
        self.core = SchedulerCore(settings or Settings(story_length=0, stream_length=0))
        """For the workers: ten thousand stories are too many."""
        self.workers: dict[WorkerName, SimulatedWorker] = {}
        """Those whose link has not ended."""
        self.by_address: dict[Address, SimulatedWorker] = {}
        """The dead, too."""
        self.lives: dict[WorkerName, Life] = {}
        self.over = False
        self.makespan = 0.0
        self._events = 0
        self._cpu = 0.0
        self._most_known = 0
        self._names = 0
        self._trace = hashlib.blake2b(digest_size=8) if scenario.traced else None
        window = scenario.window * scenario.workers * scenario.threads
        stream = self.workload.stream(scenario.tasks, scenario.shortest, random.Random(scenario.stream_seed))
        self.client = StreamingClient(self, stream, window)

    def run(self) -> Figures:
        """From the first worker to the last message.

        Raises:
            AssertionError: something was kept for nobody, in the end.
        """
        begin = time.perf_counter()
        for _ in range(self.scenario.workers):
            self.worker_joins()
        self.handle(ClientJoined(self.client.id))
        if self.workload.churn:
            self._plan_churn()
        self.client.begin(shares_data=self.workload.shares_data)
        self.engine.run()
        assert self.over, f"nothing moves any more, and {len(self.core.state.tasks)} tasks are left"
        leftovers = self.leftovers()
        assert not leftovers, "\n".join(leftovers)
        self.handle(ClientLeft(self.client.id))
        return Figures(
            self.scenario,
            self.client.done,
            self._events,
            self.core.placement.examined,
            self._cpu,
            self.makespan,
            self.meter.work,
            self.meter.avoidable,
            self.client.recomputed,
            self._most_known,
            time.perf_counter() - begin,
            self._trace.hexdigest() if self._trace else "",
            list(self.lives.values()),
        )

    # --- the scheduler ---

    def handle(self, event: Event, reported: int = 0) -> None:
        """Run one event through the scheduler's core, and send what it says."""
        core, now = self.core, self.engine.now
        begin = time.thread_time()
        commands = core.handle(event, now)
        self._cpu += time.thread_time() - begin
        self._events += 1
        if self._trace is not None:
            self._trace.update(_encode((now, type(event).__name__, event, commands)))
        ready = 0
        for prefix in core.state.prefixes.values():
            counts = prefix.counts
            ready += counts[QUEUED] + counts[PROCESSING]
        self.meter.scheduler_knows(ready, reported)
        for command in commands:
            if isinstance(command, ToWorker):
                worker = self.workers.get(command.name)
                if worker is not None:
                    worker.tell(command.messages)
            elif isinstance(command, ToClient):
                self.client.tell(command.messages)
            elif isinstance(command, Retired) and command.name in self.workers:
                worker = self.workers[command.name]
                if worker.dead_since is None:
                    worker.die()

    def client_says(self, client: StreamingClient, messages: list[Any]) -> None:
        """A client's messages have arrived."""
        self.handle(FromClient(client.id, messages))
        self._most_known = max(self._most_known, len(self.core.state.tasks))

    def worker_says(self, worker: SimulatedWorker, messages: list[Any]) -> None:
        """A worker's messages have arrived, or its link has ended."""
        if messages:
            ended = sum(len(message.items) for message in messages if type(message) is m.TasksDone)
            self.handle(FromWorker(worker.name, messages), ended)
        else:
            del self.workers[worker.name]
            self.handle(WorkerLeft(worker.name, frozenset(worker.running), "was killed by SIGKILL"))

    # --- workers that come and go ---

    def worker_joins(self) -> None:
        """One more."""
        name = self._names
        self._names += 1
        workload = self.workload
        speed = 0.7 + 0.6 * self.dice.random() if workload.uneven else 1.0
        has_gpu = workload.gpu_workers and name % round(1 / workload.gpu_workers) == 0
        worker = SimulatedWorker(self, name, self.scenario.threads, speed, {"GPU": 1.0} if has_gpu else None)
        self.workers[name] = worker
        self.by_address[worker.address] = worker
        self.lives[name] = Life(self.engine.now, speed)
        self.meter.worker_joined(worker)
        self.handle(WorkerJoined(worker.registration()))
        self.engine.after(METRICS_INTERVAL * self.dice.random(), self._measure, worker)

    def _measure(self, worker: SimulatedWorker) -> None:
        if worker.dead_since is None and not self.over:
            worker.say([m.WorkerMetrics(0, 0, 0.0, len(worker.running))])
            self.engine.after(METRICS_INTERVAL, self._measure, worker)

    def _plan_churn(self) -> None:
        """Over the time that the work takes at best: some crash, some go gently, and others join."""
        scenario = self.scenario
        expected = 1.1 * scenario.tasks * scenario.shortest / (scenario.workers * scenario.threads)
        count = max(1, round(self.workload.churn * scenario.workers))
        for _ in range(count):
            self.engine.at(expected * self.dice.random(), self._one_crashes)
            self.engine.at(expected * self.dice.random(), self._one_retires)
            self.engine.at(expected * self.dice.random(), self._one_joins)
            self.engine.at(expected * self.dice.random(), self._one_joins)

    def _somebody(self) -> SimulatedWorker | None:
        """One that runs, and is not the last."""
        if len(self.workers) < 2:
            return None
        for _ in range(100):
            worker = self.workers.get(self.dice.randrange(self._names))
            if worker is not None and worker.dead_since is None and not worker.retiring:
                return worker
        return None

    def _one_crashes(self) -> None:
        worker = None if self.over else self._somebody()
        if worker is not None:
            self._record_end(worker, crashed=True)
            worker.die()

    def _one_retires(self) -> None:
        worker = None if self.over else self._somebody()
        if worker is not None:
            self.meter.worker_retires(worker)
            worker.retiring = True
            self._record_end(worker, crashed=False)
            self.handle(RetireWorkers([worker.name]))

    def _record_end(self, worker: SimulatedWorker, *, crashed: bool) -> None:
        self.lives[worker.name] = self.lives[worker.name]._replace(left=self.engine.now, crashed=crashed)

    def _one_joins(self) -> None:
        if not self.over:
            self.worker_joins()

    # --- in the end ---

    def workload_over(self) -> None:
        """The client has all results, and has let go of them."""
        self.over = True
        self.makespan = self.engine.now

    def leftovers(self) -> list[str]:
        """What is kept although nobody wants anything any more."""
        if self.scenario.checked:
            invariants.check(self.core)
        state = self.core.state
        kept: dict[str, Sized] = {
            "tasks": state.tasks,
            "functions": state.functions,
            "pieces of data on their way": state.scattering,
            "retiring workers": state.retiring,
            "bytes of results": range(state.inlined_bytes),
        }
        wrong = [f"the scheduler keeps {len(what)} {name}" for name, what in kept.items() if what]
        wrong += self.client.leftovers()
        for worker in self.workers.values():
            wrong += worker.leftovers()
        for known in state.workers.values():
            if known.processing or known.holds or known.functions or known.recalling is not None:
                wrong.append(f"the scheduler believes that {known.name} still has something")
        return wrong


def simulate(scenario: Scenario) -> Figures:
    """Run one scenario."""
    return Simulation(scenario).run()
