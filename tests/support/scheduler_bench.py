"""A scheduler's core on the bench: events go in, what it says is kept by recipient, invariants are checked."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import Any, TypeVar

from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Payload
from nbcluster.scheduler.core import SchedulerCore
from nbcluster.scheduler.events import ClientJoined, Event, FromClient, FromWorker, WorkerJoined, WorkerLeft
from nbcluster.scheduler.invariants import check
from nbcluster.scheduler.outbox import ToClient, ToWorker
from nbcluster.scheduler.state import STATE_NAMES, TRANSITIONS, SchedTask, SchedWorker, Settings
from nbcluster.types import Key, WorkerName

M = TypeVar("M")

ALLOWED = {(STATE_NAMES[start], STATE_NAMES[finish]) for start, finish in TRANSITIONS}


LARGE = 10**6
"""Bytes of data that is not sent to another worker without need."""


class Bench:
    """Has one client, ``"ada"``; workers join when they are told to."""

    def __init__(self, **settings: Any) -> None:
        self.core = SchedulerCore(Settings(**settings))
        self.now = 100.0
        self.said: dict[object, list[Any]] = defaultdict(list)
        """All messages, by the name of the worker or client; what else it says under ``None``."""
        self.handle(ClientJoined("ada"))

    def handle(self, event: Event) -> None:
        self.now += 0.001
        told = len(self.core.state.story)
        for command in self.core.handle(event, self.now):
            if isinstance(command, ToWorker):
                self.said[command.name] += command.messages
            elif isinstance(command, ToClient):
                self.said[command.id] += command.messages
            else:
                self.said[None].append(command)
        check(self.core)
        for _, key, start, finish, stimulus in islice(self.core.state.story, told, None):
            pair = (STATE_NAMES[start], STATE_NAMES[finish])
            assert pair in ALLOWED, f"{key} went from {pair[0]} to {pair[1]} because of {stimulus}"

    # --- clients ---

    def ask(self, *messages: Any, client: str = "ada") -> None:
        self.handle(FromClient(client, list(messages)))

    def submit(
        self,
        *keys: Key,
        needs: dict[Key, list[Key]] | None = None,
        function: bytes = b"f",
        client: str = "ada",
        **options: Any,
    ) -> None:
        """Submit tasks; ``needs`` are the dependencies of some of them."""
        dependencies = {index: needs[key] for index, key in enumerate(keys) if needs and key in needs}
        arguments = [b"arguments"] * len(keys)
        message = m.SubmitTasks(
            function, Payload(function), list(keys), arguments, m.TaskOptions(**options), dependencies
        )
        self.ask(message, client=client)

    def release(self, *keys: Key, client: str = "ada") -> None:
        self.ask(m.ReleaseKeys(list(keys)), client=client)

    def scatter(self, *keys: Key, nbytes: int = 10, **options: Any) -> None:
        items = [m.DataItem(key, Payload(b"x" * nbytes), nbytes, "bytes") for key in keys]
        self.ask(m.Scatter(items, **options))

    # --- workers ---

    def join(self, name: WorkerName, nthreads: int = 1, resources: dict[str, float] | None = None) -> SchedWorker:
        self.handle(WorkerJoined(m.RegisterWorker(name, f"fake://{name}", nthreads, 1, None, resources or {})))
        return self.worker(name)

    def leave(self, name: WorkerName, *guilty: Key, cause: str = "was killed by SIGKILL") -> None:
        """A worker is gone; it was running ``guilty`` at the end."""
        runs = frozenset(self.run_id(name, key) for key in guilty)
        self.handle(WorkerLeft(name, runs, cause))

    def report(self, name: WorkerName, *messages: Any) -> None:
        self.handle(FromWorker(name, list(messages)))

    def finish(
        self, name: WorkerName, *keys: Key, nbytes: int = 1, seconds: float = 0.001, inline: bool = True
    ) -> None:
        payload = Payload(b"x") if inline else None
        done = [
            m.TaskDone(key, self.run_id(name, key), nbytes, "int", 0, 10.0, 10.0 + seconds, payload) for key in keys
        ]
        self.report(name, m.TasksDone(done))

    def fail(self, name: WorkerName, key: Key) -> None:
        self.report(name, m.TaskErred(key, self.run_id(name, key), Payload(b"error"), "error", 0, 10.0, 10.1))

    def give_back(self, name: WorkerName, *keys: Key) -> None:
        """Answer the last recall: these had not started."""
        recall = self.heard(name, m.RecallTasks)[-1]
        self.report(name, m.TasksRecalled([self.run_id(name, key) for key in keys], recall.request))

    def run_all(self, **result: Any) -> None:
        """Let every worker finish all that it has, until nothing is left to run."""
        while busy := [worker for worker in self.core.state.workers.values() if worker.processing]:
            for worker in busy:
                self.finish(worker.name, *(task.key for task in worker.processing.values()), **result)

    # --- what is so ---

    def task(self, key: Key) -> SchedTask:
        return self.core.state.tasks[key]

    def worker(self, name: WorkerName) -> SchedWorker:
        return self.core.state.workers[name]

    def state(self, key: Key) -> str:
        task = self.core.state.tasks.get(key)
        return "forgotten" if task is None else STATE_NAMES[task.state]

    def assigned(self, name: WorkerName) -> list[Key]:
        """What a worker has to run, in the order in which it got it."""
        return [task.key for task in self.worker(name).processing.values()]

    def run_id(self, name: WorkerName, key: Key) -> int:
        runs = [run_id for run_id, task in self.worker(name).processing.items() if task.key == key]
        assert runs, f"{key} is not assigned to {name}"
        return runs[0]

    def heard(self, recipient: object, kind: type[M]) -> list[M]:
        """What a recipient was told, of one kind."""
        return [message for message in self.said[recipient] if isinstance(message, kind)]

    def computes(self, name: WorkerName) -> list[m.ComputeTask]:
        return [task for message in self.heard(name, m.Compute) for task in message.tasks]

    def done(self, client: str = "ada") -> list[Key]:
        """The results that a client was told of."""
        return [item.key for message in self.heard(client, m.KeysDone) for item in message.items]


def keys(count: int, prefix: str = "f") -> list[str]:
    """So many keys of one function."""
    return [f"{prefix}-{number}" for number in range(count)]


def with_known_duration(seconds: float, **settings: float) -> Bench:
    """A bench that has learned how long tasks of ``f`` take; worker 0 is gone again."""
    bench = Bench(**settings)
    bench.join("teacher")
    bench.submit("f-1st")
    bench.finish("teacher", "f-1st", seconds=seconds)
    bench.leave("teacher")
    return bench
