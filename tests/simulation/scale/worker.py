"""A simulated worker: the real core and the real queue of runs, with threads, store and peers that only take time."""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING, Any

from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.types import Address, Key, RunId, WorkerName
from nbcluster.worker import commands as c
from nbcluster.worker.core import WorkerCore
from nbcluster.worker.events import DataArrived, Event, FetchFailed, Finished, FromScheduler, RunsEnded, RunsRecalled
from nbcluster.worker.run_queue import RunQueue
from nbcluster.worker.story import Story
from tests.simulation.scale.network import Link
from tests.simulation.scale.workloads import SMALL, read_arguments

if TYPE_CHECKING:
    from tests.simulation.scale.cluster import Simulation

_RESULT = Payload(b"r" * SMALL)
_DATA = Payload(b"")
_NO_BATCH: list[Message] = []


class SimulatedWorker:
    """One worker; ``speed`` divides the durations of its tasks."""

    __slots__ = (
        "_down",
        "_free_threads",
        "_queue",
        "_sending_until",
        "_simulation",
        "_up",
        "address",
        "core",
        "dead_since",
        "functions",
        "name",
        "nthreads",
        "resources",
        "retiring",
        "running",
        "speed",
    )

    def __init__(
        self,
        simulation: Simulation,
        name: WorkerName,
        nthreads: int,
        speed: float = 1.0,
        resources: dict[str, float] | None = None,
    ) -> None:
        self.name = name
        self.nthreads = nthreads
        self.speed = speed
        self.resources = resources or {}
        self.address: Address = f"sim://{name}"
        self.core = WorkerCore(self.address)
        self.core.state.story = Story(0)
        self.functions: set[bytes] = set()
        self.running: dict[RunId, float] = {}
        """With the moment at which each began."""
        self.dead_since: float | None = None
        self.retiring = False
        self._simulation = simulation
        self._queue = RunQueue()
        self._free_threads = nthreads
        self._sending_until = 0.0
        self._up = Link(simulation.network, simulation.worker_says)
        self._down = Link(simulation.network, self.receive)

    def registration(self) -> m.RegisterWorker:
        """Its first message."""
        return m.RegisterWorker(self.name, self.address, self.nthreads, 1, None, self.resources)

    # --- the link to the scheduler ---

    def tell(self, messages: list[Any]) -> None:
        """Have the scheduler's messages arrive after a while."""
        self._down.send(messages)

    def say(self, messages: list[Any]) -> None:
        """Have messages arrive at the scheduler after a while; none at all means that the link has ended."""
        self._up.send(self, messages)

    def receive(self, messages: list[Any]) -> None:
        """What the scheduler sent has arrived."""
        if self.dead_since is not None:
            return
        for_core = []
        for message in messages:
            if type(message) is m.DefineFunctions:
                self.functions.update(message.functions)
            elif type(message) is m.ForgetFunctions:
                self.functions.difference_update(message.functions)
            else:
                for_core.append(message)
        if for_core:
            self._handle(FromScheduler(for_core))

    def die(self) -> None:
        """Its process ends: what its threads were doing is lost; what it has said still arrives."""
        simulation = self._simulation
        self.dead_since = simulation.engine.now
        simulation.meter.worker_died(self)
        self.say(_NO_BATCH)

    # --- the core's commands ---

    def _handle(self, event: Event) -> None:
        for command in self.core.handle(event, self._simulation.engine.now):
            if isinstance(command, c.Send):
                self.say(command.messages)
            elif isinstance(command, c.Execute):
                self._queue.push((run.task, run.inputs) for run in command.tasks)
                self._start()
            elif isinstance(command, c.Recall):
                taken = self._queue.withdraw(command.run_ids)
                self._handle(RunsRecalled(command.request, taken))
            elif isinstance(command, c.Unqueue):
                self._queue.withdraw(command.run_ids)
            elif isinstance(command, c.Fetch):
                self._fetch(command.holder, command.keys)
            # what is stored where, the core knows itself; values are not simulated

    # --- threads ---

    def _start(self) -> None:
        while self._free_threads:
            entry = self._queue.pop()
            if entry is None:
                return
            _, run_id, task, _ = entry
            assert task.function in self.functions, f"{task.key} was sent before its function"
            duration, nbytes = read_arguments(task.data)
            self._free_threads -= 1
            simulation = self._simulation
            now = simulation.engine.now
            self.running[run_id] = now
            simulation.meter.run_began(self)
            simulation.engine.after(duration / self.speed, self._end, task.key, run_id, nbytes)

    def _end(self, key: Key, run_id: RunId, nbytes: int) -> None:
        if self.dead_since is not None:
            return
        simulation = self._simulation
        began = self.running.pop(run_id)
        now = simulation.engine.now
        self._free_threads += 1
        simulation.meter.run_ended(self, now - began)
        self._start()
        done = m.TaskDone(key, run_id, nbytes, "bytes", 0, began, now, _RESULT if nbytes <= SMALL else None)
        self._handle(RunsEnded([Finished(done, None)]))

    # --- peers ---

    def _fetch(self, holder: Address, keys: list[Key]) -> None:
        simulation = self._simulation
        peer = simulation.by_address[holder]
        simulation.engine.after(simulation.network.delay(), peer.serve, self, keys)

    def serve(self, other: SimulatedWorker, keys: list[Key]) -> None:
        """A peer's request has arrived; a dead worker does not answer."""
        simulation = self._simulation
        engine, network = simulation.engine, simulation.network
        held = self.core.state.held
        items = [m.DataItem(key, _DATA, held[key], "bytes") for key in keys if key in held]
        begin = max(engine.now, self._sending_until)
        self._sending_until = sent = begin + sum(item.nbytes for item in items) / network.model.bandwidth
        engine.at(sent + network.delay(), other.answered, self, items, sent)

    def answered(self, peer: SimulatedWorker, items: list[m.DataItem], sent: float) -> None:
        """A peer's answer has arrived, or its link has broken."""
        if self.dead_since is not None:
            return
        died = peer.dead_since
        if (died is not None and died < sent) or self._simulation.network.breaks():
            self._handle(FetchFailed(peer.address))
        else:
            self._handle(DataArrived(peer.address, items))

    # --- in the end ---

    def leftovers(self) -> list[str]:
        """What it keeps although nobody wants anything any more."""
        state = self.core.state
        kept: dict[str, Sized] = {
            "runs": state.runs,
            "keys": state.by_key,
            "data": state.held,
            "fetches": state.fetches,
            "peers": state.peers,
            "recalls": state.recalling,
            "functions": self.functions,
            "queue": self._queue,
            "threads": self.running,
        }
        return [f"worker {self.name} keeps {len(what)} {name}" for name, what in kept.items() if what]
