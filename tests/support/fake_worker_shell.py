"""A worker's surroundings without threads and links: carries out a core's commands, and what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbcluster.protocol.messages import ComputeTask, DataItem, Dependency, FreeKeys, TaskDone, TaskRejoined, TaskSeceded
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.types import Address, Key, RunId
from nbcluster.worker import commands as c
from nbcluster.worker import invariants
from nbcluster.worker.core import WorkerCore
from nbcluster.worker.events import (
    DataArrived,
    Event,
    FetchFailed,
    Finished,
    FromScheduler,
    RunsEnded,
    RunsRecalled,
    TakenUp,
)
from nbcluster.worker.state import WorkerTask

ME = "unix:///me"


def compute_task(
    key: Key, run_id: RunId, dependencies: list[Dependency] | None = None, priority: int = 0
) -> ComputeTask:
    """A task for a worker."""
    return ComputeTask(key, run_id, b"f" * 16, b"arguments", (0, priority), tuple(dependencies or ()))


def needs(key: Key, *holders: Address, payload: Payload | None = None, nbytes: int = 100) -> Dependency:
    """A dependency, inline or with holders."""
    return Dependency(key, payload, list(holders), nbytes)


class FakeShell:
    """Its queue, its threads, its store and its peers are dictionaries; nothing happens by itself."""

    def __init__(self, core: WorkerCore | None = None) -> None:
        self.core = core or WorkerCore(ME)
        self.store: dict[Key, Any] = {}
        self.queued: dict[RunId, WorkerTask] = {}
        self.running: dict[RunId, WorkerTask] = {}
        self.seceded: set[RunId] = set()
        """Runs that have given up their thread."""
        self.requests: dict[Address, list[Key]] = {}
        self.recalls: list[RunsRecalled] = []
        self.sent: list[Message] = []
        self.time = 0.0

    def tell(self, *messages: Message) -> list[Message]:
        """Deliver messages of the scheduler; return the answers."""
        return self.handle(FromScheduler(list(messages)))

    def handle(self, event: Event) -> list[Message]:
        """Have the core handle an event, carry out its commands, check it."""
        self.time += 1.0
        before = len(self.sent)
        for command in self.core.handle(event, self.time):
            self.perform(command)
        invariants.check(self.core.state)
        assert self.store.keys() == self.core.state.held.keys(), "the core knows what the store holds"
        return self.sent[before:]

    def perform(self, command: c.Command) -> None:
        """Carry out one command."""
        if isinstance(command, c.Execute):
            for run in command.tasks:
                self.capture(run)
                assert None not in (run.inputs or {}).values(), f"{run} was executed without its inputs"
                self.queued[run.task.run_id] = run
        elif isinstance(command, c.Capture):
            for run in command.tasks:
                self.capture(run)
        elif isinstance(command, c.KeepResults):
            for result in command.results:
                self.store[result.done.key] = result.value
        elif isinstance(command, c.KeepData):
            for item in command.items:
                self.store[item.key] = item.payload
        elif isinstance(command, c.Drop):
            for key in command.keys:
                del self.store[key]
        elif isinstance(command, c.Unqueue):
            for run_id in command.run_ids:
                self.queued.pop(run_id, None)
        elif isinstance(command, c.Recall):
            taken = [run_id for run_id in command.run_ids if self.queued.pop(run_id, None)]
            self.recalls.append(RunsRecalled(command.request, taken))
        elif isinstance(command, c.Fetch):
            assert command.keys, "an empty request"
            assert command.holder not in self.requests, "two requests to one peer at a time"
            assert command.holder != ME, "it asks itself"
            self.requests[command.holder] = command.keys
        else:
            self.sent += command.messages

    def capture(self, run: WorkerTask) -> None:
        """Take a run's inputs from the store."""
        for key, value in (run.inputs or {}).items():
            if value is None and key in self.store:
                assert run.inputs is not None
                run.inputs[key] = self.store[key]

    def start(self, run_id: RunId) -> None:
        """A thread begins with a run."""
        self.running[run_id] = self.queued.pop(run_id)

    def take_up(self, task: ComputeTask, freed: Sequence[Key] = ()) -> list[Message]:
        """A thread has read a task itself, after what is to be freed, and has begun."""
        self.running[task.run_id] = WorkerTask(task)
        return self.handle(RunsEnded([*([FreeKeys([*freed])] if freed else []), TakenUp(task)]))

    def change_seat(self, run_id: RunId) -> list[Message]:
        """A run secedes, or rejoins if it has seceded."""
        key = self.running[run_id].task.key
        notice = TaskRejoined(key, run_id) if run_id in self.seceded else TaskSeceded(key, run_id)
        self.seceded ^= {run_id}
        return self.handle(RunsEnded([notice]))

    def finish(self, run_id: RunId, value: Any = "result") -> list[Message]:
        """A thread is done with a run."""
        run = self.running.pop(run_id, None) or self.queued.pop(run_id)
        done = TaskDone(run.task.key, run_id, 10, "str", 0, 1.0, 2.0, None)
        return self.handle(RunsEnded([Finished(done, value)]))

    def answer(self, holder: Address, *items: DataItem) -> list[Message]:
        """A peer answers what it was asked."""
        del self.requests[holder]
        return self.handle(DataArrived(holder, list(items)))

    def fail(self, holder: Address) -> list[Message]:
        """A peer is gone."""
        del self.requests[holder]
        return self.handle(FetchFailed(holder))

    def answer_recall(self) -> list[Message]:
        """The executor answers the oldest recall."""
        return self.handle(self.recalls.pop(0))


def datum(key: Key, content: bytes = b"content") -> DataItem:
    """What a peer or a client sends."""
    return DataItem(key, Payload(content), len(content), "bytes")
