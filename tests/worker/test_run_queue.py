from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nbcluster.worker.run_queue import RunQueue
from tests.support.fake_worker_shell import compute_task


def drain(queue: RunQueue) -> list[int]:
    taken = []
    while (entry := queue.pop()) is not None:
        taken.append(entry[1])
    return taken


@given(
    priorities=st.lists(st.integers(min_value=0, max_value=5)),
    withdrawn=st.sets(st.integers(min_value=0, max_value=20)),
)
def test_runs_come_out_by_priority_then_by_age_without_those_withdrawn(
    priorities: list[int], withdrawn: set[int]
) -> None:
    queue = RunQueue()
    for run_id, priority in enumerate(priorities):
        queue.push([(compute_task("x", run_id, priority=priority), None)])
    present = [run_id for run_id in range(len(priorities)) if run_id in withdrawn]
    assert sorted(queue.withdraw(withdrawn)) == present
    rest = [run_id for run_id in range(len(priorities)) if run_id not in withdrawn]
    assert len(queue) == len(rest)
    assert drain(queue) == sorted(rest, key=lambda run_id: (priorities[run_id], run_id))
    assert len(queue) == 0


def test_what_is_more_urgent_overtakes_what_came_before() -> None:
    queue = RunQueue()
    for run_id, priority in ((1, 5), (2, 6)):
        queue.push([(compute_task("x", run_id, priority=priority), None)])
    assert queue.pop()[1] == 1  # type: ignore[index]
    queue.push([(compute_task("x", 3, priority=1), None)])
    assert drain(queue) == [3, 2]


def test_a_run_that_started_cannot_be_withdrawn() -> None:
    queue = RunQueue()
    queue.push([(compute_task("x", 1), None)])
    queue.pop()
    assert queue.withdraw([1]) == []


def test_what_is_withdrawn_and_comes_again_runs_once() -> None:
    queue = RunQueue()
    for run_id in (1, 2):
        queue.push([(compute_task("x", run_id), None)])
    queue.withdraw([1])
    queue.push([(compute_task("x", 3), None)])
    assert drain(queue) == [2, 3]
