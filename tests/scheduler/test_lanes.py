"""Constraints, and that deciding costs no more when there are more workers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nbcluster.protocol import messages as m
from nbcluster.protocol.operating import ResourcesChanged
from nbcluster.scheduler.events import FromWorker
from nbcluster.scheduler.figures import task_counts
from tests.support.scheduler_bench import Bench

LARGE = 10**6


def examined(bench: Bench, action: Callable[[], None]) -> int:
    """How many candidates placement looks at meanwhile."""
    before = bench.core.placement.examined
    action()
    return bench.core.placement.examined - before


def with_workers(count: int, gpus: int = 0) -> Bench:
    """The last ones have a GPU."""
    bench = Bench()
    for name in range(count):
        bench.join(name, resources={"GPU": 1.0} if name >= count - gpus else None)
    return bench


# --- what a decision costs ---


@pytest.mark.parametrize("workers", [5, 80])
def test_one_of_many_workers_with_a_resource_is_found_at_once(workers: int) -> None:
    bench = with_workers(workers, gpus=2)
    cost = examined(bench, lambda: bench.submit("f-0", "f-1", resources={"GPU": 1.0}))
    assert [bench.assigned(workers - 2), bench.assigned(workers - 1)] == [["f-0"], ["f-1"]]
    assert cost <= 4


@pytest.mark.parametrize("workers", [5, 80])
def test_who_is_named_is_found_without_asking_the_others(workers: int) -> None:
    bench = with_workers(workers)
    cost = examined(bench, lambda: bench.submit("f-0", workers=[f"fake://{workers - 1}"]))
    assert bench.assigned(workers - 1) == ["f-0"]
    assert cost <= 4


def test_what_nobody_can_run_is_not_looked_at_again_and_again() -> None:
    bench = with_workers(30)
    bench.submit("gpu-0", resources={"GPU": 1.0})
    bench.submit("named-0", workers=["elsewhere"])
    bench.submit(*(f"f-{number}" for number in range(30)))

    def all_finish() -> None:
        for name in range(30):
            bench.finish(name, f"f-{name}")

    cost = examined(bench, all_finish)
    assert cost <= 30
    assert task_counts(bench.core.state, bench.core.placement).no_worker == 2


@pytest.mark.parametrize("workers", [5, 80])
def test_of_many_holders_a_few_are_looked_at(workers: int) -> None:
    bench = with_workers(workers)
    bench.scatter("d-0", nbytes=LARGE, broadcast=True)
    for name in range(workers):
        bench.report(name, m.DataAdded([m.StoredData("d-0", LARGE)]))
    cost = examined(bench, lambda: bench.submit("f-0", needs={"f-0": ["d-0"]}))
    assert bench.state("f-0") == "processing"
    assert cost <= 10


def test_a_task_learns_of_a_few_holders_and_the_next_one_of_others() -> None:
    bench = with_workers(31)
    bench.scatter("d-0", nbytes=LARGE, broadcast=True)
    for name in range(30):
        bench.report(name, m.DataAdded([m.StoredData("d-0", LARGE)]))
    told = []
    for key in ("f-0", "f-1"):
        bench.submit(key, needs={key: ["d-0"]}, workers=["30"])
        told.append(set(bench.computes(30)[-1].dependencies[0].holders))
    assert all(0 < len(holders) < 30 for holders in told)
    assert told[0] != told[1]


# --- lanes that find nobody ---


def test_a_lane_wakes_when_its_resource_is_given_back() -> None:
    bench = with_workers(3, gpus=1)
    bench.submit("f-0", "f-1", resources={"GPU": 1.0})
    assert bench.state("f-1") == "queued"
    bench.finish(2, "f-0")
    assert bench.assigned(2) == ["f-1"]


def test_a_lane_wakes_when_the_worker_joins_that_it_waits_for() -> None:
    bench = with_workers(3)
    bench.submit("f-0", resources={"GPU": 1.0})
    bench.submit("f-1", workers=["late"])
    bench.submit("f-2", workers=["late"], resources={"GPU": 1.0})
    bench.join("late", nthreads=3, resources={"GPU": 2.0})
    assert set(bench.assigned("late")) == {"f-0", "f-1", "f-2"}


def test_a_preference_for_nobody_that_is_there_waits_for_anybody_with_room() -> None:
    bench = with_workers(1)
    bench.submit("f-0", "f-1")
    bench.submit("f-2", workers=["elsewhere"], allow_other_workers=True)
    assert bench.state("f-2") == "queued"
    bench.finish(0, "f-0")
    assert bench.assigned(0) == ["f-1", "f-2"]


def test_a_worker_that_retires_takes_nothing_from_any_lane() -> None:
    bench = with_workers(2, gpus=2)
    bench.submit("f-0", resources={"GPU": 1.0})
    bench.finish(0, "f-0")
    bench.core.placement.remove(bench.worker(0))
    bench.submit("f-1", "f-2", resources={"GPU": 1.0})
    assert bench.assigned(0) == []


def test_lanes_of_tasks_that_nobody_wants_any_more_are_let_go_of() -> None:
    bench = with_workers(1)
    keys = [f"f-{number}" for number in range(5)]
    for key in keys:
        bench.submit(key, workers=[f"worker-{key}"])
    assert len(list(bench.core.placement.queued())) == 5
    bench.release(*keys)
    for number in range(6):  # one is looked at in each event
        bench.submit(f"g-{number}")
    assert len(list(bench.core.placement._lanes)) == 1


# --- stealing, functions ---


def test_if_the_first_idle_worker_may_not_run_what_others_have_too_much_of_the_next_one_does() -> None:
    bench = Bench()
    bench.join("busy", resources={"GPU": 4.0})
    bench.submit("f-0", "f-1", resources={"GPU": 1.0})
    bench.join("plain")
    bench.join("able", resources={"GPU": 1.0})
    bench.report("able", m.WorkerMetrics(0, 0, 0.0, 0))  # something happens
    bench.give_back("busy", "f-1")
    assert bench.assigned("able") == ["f-1"]


def test_only_who_has_a_function_is_told_to_forget_it() -> None:
    bench = with_workers(5)
    bench.submit("f-0", function=b"own")
    bench.finish(0, "f-0")
    bench.release("f-0")
    assert [len(bench.heard(name, m.ForgetFunctions)) for name in range(5)] == [1, 0, 0, 0, 0]


def test_a_successor_of_the_same_name_is_not_told_to_forget_what_it_never_had() -> None:
    bench = with_workers(2)
    bench.submit("f-0", "f-1", "f-2", function=b"own")
    bench.leave(0)
    bench.join(0)
    for key in list(bench.assigned(1)):
        bench.finish(1, key)
    had = b"own" in bench.worker(0).functions
    bench.release("f-0", "f-1", "f-2")
    assert len(bench.heard(0, m.ForgetFunctions)) == int(had)


# --- offers that change ---


def test_what_waited_for_a_resource_runs_once_a_worker_offers_it() -> None:
    bench = with_workers(2)
    bench.submit("gpu-0", "gpu-1", resources={"GPU": 1.0})
    assert bench.assigned(0) == bench.assigned(1) == []
    bench.handle(FromWorker(1, [ResourcesChanged({"GPU": 1.0})]))
    assert bench.assigned(1) == ["gpu-0"]
    bench.handle(FromWorker(1, [ResourcesChanged({"GPU": 2.0})]))
    assert bench.assigned(1) == ["gpu-0", "gpu-1"]


def test_a_worker_that_offers_less_ends_what_it_has_begun_and_gets_no_more() -> None:
    bench = with_workers(1, gpus=1)
    bench.submit("gpu-0", "gpu-1", resources={"GPU": 1.0})
    bench.handle(FromWorker(0, [ResourcesChanged({"GPU": 0.0})]))
    bench.finish(0, "gpu-0")
    assert bench.assigned(0) == []
    bench.submit("f-0")
    assert bench.assigned(0) == ["f-0"]


def test_who_needs_nothing_of_a_resource_needs_no_worker_that_has_it() -> None:
    bench = Bench()
    bench.submit("f-0", resources={"GPU": 0.0})
    bench.join(0)
    assert bench.assigned(0) == ["f-0"]


def test_a_task_tells_whether_a_worker_could_run_it() -> None:
    bench = Bench()
    bench.join(0, resources={"GPU": 1})
    for key, amount in (("little", 1.0), ("much", 2.0), ("none", 0.0)):
        bench.submit(key, resources={"GPU": amount, "FPGA": 0.0})
    placement, tasks = bench.core.placement, bench.core.state.tasks
    assert [placement.is_placeable(tasks[key]) for key in ("little", "much", "none")] == [True, False, True]
