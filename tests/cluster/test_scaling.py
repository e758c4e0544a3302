from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nbcluster.cluster.scaling import Load, Scaler
from nbcluster.commands import Adapt
from nbcluster.snapshot import ClusterView, TaskCounts, WorkerView
from nbcluster.types import Status

IDLE = Load(workers=1, threads=1, occupancy=0.0, running=0, waiting=0, done=0, kept=0)


def scaler(capacity: int = 100, **options: Any) -> Scaler:
    return Scaler(Adapt(**options), capacity)


def work(seconds: float, tasks: int, **others: Any) -> Load:
    return IDLE._replace(occupancy=seconds, waiting=tasks)._replace(**others)


def test_it_wants_as_many_workers_as_do_the_work_in_time() -> None:
    assert scaler().decide(work(100, 1000)).workers == 20
    assert scaler(target_duration=10).decide(work(100, 1000)).workers == 10
    assert scaler().decide(work(100, 1000, threads=4)).workers == 5


def test_it_wants_no_more_workers_than_there_are_tasks() -> None:
    assert scaler().decide(work(1000, 3)).workers == 3
    assert scaler().decide(work(1000, 7, threads=2)).workers == 4


def test_any_work_wants_a_worker() -> None:
    assert scaler().decide(work(0.001, 1, workers=0)).workers == 1


def test_limits_are_kept() -> None:
    assert scaler(maximum=4).decide(work(100, 1000)).workers == 4
    assert scaler(minimum=2).decide(IDLE).workers == 2
    assert scaler(capacity=8).decide(work(1000, 1000)).workers == 8
    assert scaler(maximum=2).decide(IDLE._replace(workers=9)).workers <= 2


def test_it_shrinks_only_after_several_looks_in_a_row() -> None:
    scaling = scaler(wait_count=3)
    large = IDLE._replace(workers=10)
    assert [scaling.decide(large).workers for _ in range(3)] == [10, 10, 0]


def test_work_in_between_starts_the_wait_again() -> None:
    scaling = scaler(wait_count=3)
    large = IDLE._replace(workers=10)
    looks = [large, large, work(1000, 1000, workers=10), large, large, large]
    assert [scaling.decide(look).workers for look in looks] == [10, 10, 100, 10, 10, 0]


def test_it_shrinks_no_further_than_every_look_agrees_to() -> None:
    scaling = scaler(wait_count=2)
    assert scaling.decide(work(30, 100, workers=10)).workers == 10
    assert scaling.decide(work(5, 100, workers=10)).workers == 6


def test_one_worker_stays_as_long_as_results_are_kept() -> None:
    scaling = scaler(wait_count=1)
    decision = scaling.decide(IDLE._replace(workers=4, kept=7))
    assert decision.workers == 1
    assert decision.reason == "one worker keeps 7 results"


def test_full_memory_wants_more_workers() -> None:
    decision = scaler().decide(IDLE._replace(workers=3, kept=9, stored=70, memory=100))
    assert decision.workers == 6
    assert "70 % of the memory" in decision.reason


def test_tasks_that_take_longer_than_believed_do_not_wait_for_ever() -> None:
    """Nothing is known of the duration of a function before it has run once."""
    scaling = scaler()
    load = work(5, 10, running=1)
    workers = []
    for _ in range(6):
        n = scaling.decide(load).workers
        workers.append(n)
        load = load._replace(workers=n, running=n, waiting=11 - n)
    assert workers == [1, 2, 4, 8, 11, 11]


def test_reasons_are_in_words() -> None:
    assert scaler().decide(work(50, 100)).reason == "50.0 s of work, to be done in 5 s"
    assert scaler().decide(work(50, 2)).reason == "2 tasks to run at once"
    assert scaler(maximum=3).decide(work(50, 100)).reason.endswith("; maximum is 3")
    assert scaler().decide(IDLE).reason == "0 would do (nothing to do); shrinks if the next 2 looks agree"


def test_through_a_burst_and_its_end() -> None:
    """400 tasks of one second arrive at once, are worked off, and the cluster goes back to where it was."""
    scaling = scaler(minimum=1, maximum=20, interval=1.0)
    workers, left, done, sizes = 1, 0, 0, []
    for second in range(60):
        if second == 5:
            left = 400
        running = min(left, workers)
        load = Load(workers, 1, float(left), running, left - running, done, 0)
        workers = scaling.decide(load).workers
        finished = min(left, workers)
        left, done = left - finished, done + finished
        sizes.append(workers)
    assert sizes[:5] == [1] * 5
    assert sizes[5] == 20
    assert left == 0
    assert sizes[-1] == 1
    peak_end = max(i for i, n in enumerate(sizes) if n == 20)
    assert all(n == 20 for n in sizes[5 : peak_end + 1]), "it bounced on the way"
    assert sizes[peak_end:] == sorted(sizes[peak_end:], reverse=True), "it bounced at the end"


@given(
    st.lists(
        st.builds(
            Load,
            workers=st.integers(0, 50),
            threads=st.integers(1, 8),
            occupancy=st.floats(0, 1e6),
            running=st.integers(0, 500),
            waiting=st.integers(0, 10**6),
            done=st.integers(0, 10),
            kept=st.integers(0, 10),
            stored=st.integers(0, 200),
            memory=st.one_of(st.none(), st.integers(0, 200)),
        ),
        max_size=20,
    ),
    st.integers(0, 10),
    st.one_of(st.none(), st.integers(10, 40)),
    st.integers(1, 5),
)
def test_whatever_it_sees_it_stays_within_its_limits(
    looks: list[Load], minimum: int, maximum: int | None, wait_count: int
) -> None:
    scaling = scaler(capacity=30, minimum=minimum, maximum=maximum, wait_count=wait_count)
    for load in looks:
        n, reason = scaling.decide(load)
        top = 30 if maximum is None else maximum
        assert minimum <= n <= max(top, minimum)
        assert reason
        if load.running + load.waiting or load.kept:
            assert n >= 1 or maximum == 0
        if minimum < n and not load.memory and n > load.workers:
            assert n <= max(math.ceil((load.running + load.waiting) / load.threads), load.kept > 0)


def test_a_look_tells_of_all_workers_and_of_what_they_share() -> None:
    workers = [WorkerView(name=0, memory_limit=100, stored=10), WorkerView(name=1, memory_limit=50, stored=5)]
    tasks = TaskCounts(queued=3, no_worker=2, processing=4, memory=6, done=7)
    view = ClusterView(
        id="c", name="c", status=Status.RUNNING, workers=workers, requested=5, tasks=tasks, occupancy=1.5, shared=20
    )
    assert Load.of(view) == Load(5, 1, 1.5, running=4, waiting=3, done=7, kept=6, stored=35, memory=150)


def test_tasks_that_no_worker_can_run_ask_for_one_only_if_there_is_none() -> None:
    tasks = TaskCounts(queued=3, no_worker=2)
    assert Load.made_of(1, 1, 0.0, tasks, [WorkerView(name=0)], 0).waiting == 3
    assert Load.made_of(1, 1, 0.0, tasks, [], 0).waiting == 5


def test_memory_is_not_limited_if_one_worker_is_not() -> None:
    workers = [WorkerView(name=0, memory_limit=100), WorkerView(name=1)]
    assert Load.made_of(2, 1, 0.0, TaskCounts(), workers, 0).memory is None
