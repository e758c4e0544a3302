"""What is done with a command of the core: with its threads, its results, its peers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast, get_args

from nbcluster.comm.tasks import TaskOwner
from nbcluster.errors import CommError
from nbcluster.protocol.messages import ComputeTask, DataItem, Stopping, TaskDone
from nbcluster.protocol.serialize import SHARE_MIN, dump
from nbcluster.store.memory import Datum, MemoryStore
from nbcluster.types import Address, Key, RunId
from nbcluster.worker import commands as c
from nbcluster.worker.events import DataArrived, Event, FetchFailed, Finished, RunsRecalled
from nbcluster.worker.performer import Performer
from nbcluster.worker.state import WorkerTask
from nbcluster.worker.transfer_log import TransferLog
from tests.support.fake_worker_shell import compute_task


class FakeExecutor:
    """A queue that nobody works off."""

    def __init__(self) -> None:
        self.queue: list[tuple[ComputeTask, Any]] = []

    def submit(self, tasks: Iterable[tuple[ComputeTask, Any]]) -> None:
        self.queue += tasks

    def recall(self, run_ids: Iterable[RunId]) -> list[RunId]:
        wanted = set(run_ids)
        recalled = [task.run_id for task, _ in self.queue if task.run_id in wanted]
        self.queue = [entry for entry in self.queue if entry[0].run_id not in wanted]
        return recalled


class FakePeers:
    """Other workers, with what they have; whoever is not among them does not answer."""

    def __init__(self) -> None:
        self.holders: dict[Address, dict[Key, DataItem]] = {}

    async def fetch(self, holder: Address, keys: list[Key]) -> tuple[list[DataItem], list[Key]]:
        if holder not in self.holders:
            raise CommError(f"{holder} does not answer")
        held = self.holders[holder]
        return [held[key] for key in keys if key in held], [key for key in keys if key not in held]


class FakeSampler:
    def __init__(self) -> None:
        self.parked = True

    def wake(self) -> None:
        self.parked = False


class FakeIdleSharing:
    def __init__(self) -> None:
        self.noted: list[Key] = []

    def note(self, key: Key, value: Any, nbytes: int) -> None:
        self.noted.append(key)


class Bench:
    """A performer, and everything that it uses."""

    def __init__(self, shares: bool = True) -> None:
        self.executor = cast("Any", FakeExecutor())
        self.store = MemoryStore()
        self.peers = cast("Any", FakePeers())
        self.log = TransferLog()
        self.sampler = cast("Any", FakeSampler())
        self.sharing = cast("Any", FakeIdleSharing())
        self.owner = TaskOwner("performer")
        self.told: list[Any] = []
        self.events: list[Event] = []
        self.performer = Performer(
            self.executor,
            self.store,
            self.peers,
            self.log,
            self.sampler,
            self.sharing if shares else None,
            self.owner,
            tell=lambda *messages: self.told.extend(messages),
            handle=self.events.append,
        )

    def perform(self, command: c.Command) -> None:
        """As the shell does."""
        self.performer.steps[type(command)](command)

    def fetch(self, holder: Address, *keys: Key) -> Event:
        """What comes of a fetch."""

        async def main() -> None:
            self.perform(c.Fetch(holder, list(keys)))
            await asyncio.gather(*self.owner._tasks)

        asyncio.run(main())
        return self.events.pop()


def run_of(key: Key, run_id: RunId = 1, inputs: dict[Key, Any] | None = None) -> WorkerTask:
    run = WorkerTask(compute_task(key, run_id))
    run.inputs = inputs
    return run


def finished(key: Key, value: Any, nbytes: int = 28) -> Finished:
    return Finished(TaskDone(key, 1, nbytes, type(value).__name__, 0, 0.0, 1.0, None), value)


def test_every_command_has_a_step() -> None:
    assert set(Bench().performer.steps) == set(get_args(c.Command))


def test_runs_are_queued_with_their_inputs_from_the_store_and_with_those_that_came_along() -> None:
    bench = Bench()
    here, along = Datum(1, 28), dump(2)
    bench.store.put("here", here)
    bench.perform(c.Execute([run_of("x", 1, {"here": None, "along": along}), run_of("y", 2)]))
    assert [(task.key, inputs) for task, inputs in bench.executor.queue] == [
        ("x", {"here": here, "along": along}),
        ("y", None),
    ]
    assert not bench.sampler.parked, "there is something to look at"


def test_what_a_waiting_run_has_captured_stays_its_own_when_it_is_freed() -> None:
    bench = Bench()
    datum, run = Datum(1, 28), run_of("x", 1, {"a": None, "later": None})
    bench.store.put("a", datum)
    bench.perform(c.Capture([run]))
    bench.perform(c.Drop(["a"]))
    assert len(bench.store) == 0
    assert run.inputs == {"a": datum, "later": None}


def test_results_are_kept_and_large_ones_shared_once_there_is_nothing_else_to_do() -> None:
    bench = Bench()
    bench.perform(c.KeepResults([finished("small", 1), finished("large", bytes(SHARE_MIN), SHARE_MIN)]))
    assert bench.store.nbytes == 28 + SHARE_MIN
    assert bench.sharing.noted == ["large"]


def test_without_shared_memory_large_results_are_kept_all_the_same() -> None:
    bench = Bench(shares=False)
    bench.perform(c.KeepResults([finished("large", bytes(SHARE_MIN), SHARE_MIN)]))
    assert list(bench.store) == ["large"]


def test_data_of_others_are_kept_pickled_until_somebody_needs_them() -> None:
    bench = Bench()
    bench.perform(c.KeepData([DataItem("x", dump([1, 2]), 100), DataItem("y", dump(3), 0)]))
    datum = bench.store.get("x")
    assert datum is not None
    assert datum.load() == [1, 2]
    assert bench.store.nbytes == 100 + dump(3).nbytes, "a size that nobody has told is that of the pickle"


def test_a_recall_is_answered_with_those_that_had_not_started() -> None:
    bench = Bench()
    bench.perform(c.Execute([run_of("x", 1), run_of("y", 2)]))
    bench.perform(c.Recall(7, [2, 99]))
    assert bench.events == [RunsRecalled(7, [2])]


def test_nobody_is_told_of_runs_that_are_taken_from_the_queue() -> None:
    bench = Bench()
    bench.perform(c.Execute([run_of("x", 1)]))
    bench.perform(c.Unqueue([1]))
    assert (bench.executor.queue, bench.events) == ([], [])


def test_what_a_peer_sends_arrives_and_is_on_record() -> None:
    bench = Bench()
    item = DataItem("x", dump(1), 28)
    bench.peers.holders["unix://peer"] = {"x": item}
    assert bench.fetch("unix://peer", "x", "y") == DataArrived("unix://peer", [item])
    assert [(entry["who"], entry["keys"]) for entry in bench.log.entries] == [("unix://peer", {"x": 28})]


def test_a_peer_that_does_not_answer_is_an_event_like_any_other() -> None:
    bench = Bench()
    assert bench.fetch("unix://gone", "x") == FetchFailed("unix://gone")
    assert not bench.log.entries


def test_messages_go_to_the_scheduler_in_order() -> None:
    bench = Bench()
    bench.perform(c.Send([Stopping("one"), Stopping("two")]))
    assert bench.told == [Stopping("one"), Stopping("two")]
