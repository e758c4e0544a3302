"""The results that a scheduler has at hand."""

from __future__ import annotations

from nbcluster.protocol.payload import Payload
from nbcluster.scheduler.payloads import Payloads
from nbcluster.scheduler.state import MEMORY, SchedPrefix, SchedTask, SchedulerState, SchedWorker, Settings

PREFIX = SchedPrefix("f")
WORKER = SchedWorker("w", "fake://w", 1)


def kept(*sizes: int, budget: int = 10) -> tuple[SchedulerState, Payloads, list[SchedTask]]:
    """Results of so many bytes each, which a worker holds too."""
    state = SchedulerState(Settings(inline_budget=budget))
    payloads = Payloads(state)
    tasks = [
        SchedTask(f"f-{number}", PREFIX, number, number, state=MEMORY, who_has=WORKER.only)
        for number in range(len(sizes))
    ]
    for task, size in zip(tasks, sizes, strict=True):
        payloads.keep(task, Payload(b"x" * size))
    return state, payloads, tasks


def at_hand(tasks: list[SchedTask]) -> list[int]:
    return [number for number, task in enumerate(tasks) if task.payload is not None]


def test_the_oldest_make_room_when_there_are_more_than_the_budget_allows() -> None:
    state, payloads, tasks = kept(4, 4, 4, 4)
    assert at_hand(tasks) == [0, 1, 2, 3]
    payloads.make_room()
    assert at_hand(tasks) == [2, 3]
    assert (state.inlined_bytes, state.inlined_count) == (8, 2)


def test_what_nobody_else_has_is_not_dropped() -> None:
    state, payloads, tasks = kept(8, 8)
    tasks[0].who_has = {}
    payloads.make_room()
    assert at_hand(tasks) == [0]
    assert state.inlined_bytes == 8


def test_what_is_dropped_is_counted_once_and_passed_over() -> None:
    state, payloads, tasks = kept(1, 2, 3)
    payloads.drop(tasks[0], tasks[2])
    payloads.drop(tasks[2])
    assert (state.inlined_bytes, state.inlined_count) == (2, 1)
    payloads.pass_over_dropped()
    assert list(state.inlined) == [tasks[1]]
