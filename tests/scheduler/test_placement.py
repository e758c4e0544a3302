"""Who gets which task, and how far ahead."""

from __future__ import annotations

import pytest

from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.scheduler.events import RetireWorkers
from nbcluster.scheduler.figures import task_counts
from tests.support.scheduler_bench import LARGE, Bench, keys, with_known_duration


class FakeShared:
    """Bytes in shared memory, as far as the scheduler is concerned."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes

    def name(self) -> int:
        return 1

    @property
    def lost(self) -> bool:
        return False

    @property
    def elsewhere(self) -> bool:
        return False

    def open(self) -> memoryview:
        raise AssertionError("the scheduler does not look into data")


# --- how far ahead ---


@pytest.mark.parametrize("nthreads", [1, 2, 4])
def test_of_unknown_tasks_each_thread_gets_one_and_the_worker_one_spare(nthreads: int) -> None:
    bench = Bench()
    bench.join(0, nthreads)
    bench.submit(*keys(20))
    assert bench.assigned(0) == keys(nthreads + 1)


def test_of_long_tasks_too() -> None:
    bench = with_known_duration(60.0)
    bench.join(0)
    bench.submit(*keys(20))
    assert bench.assigned(0) == keys(2)


def test_of_short_tasks_a_worker_gets_so_much_ahead_as_takes_the_prefetch_time() -> None:
    bench = with_known_duration(0.001, prefetch=0.02)
    bench.join(0)
    bench.submit(*keys(1000))
    assert len(bench.assigned(0)) == pytest.approx(20, abs=2)


def test_of_tasks_that_do_nothing_it_gets_no_more_than_the_most() -> None:
    bench = with_known_duration(0.0, most_ahead=100)
    bench.join(0, nthreads=2)
    bench.submit(*keys(1000))
    assert len(bench.assigned(0)) == 200


def test_short_tasks_are_handed_out_several_at_a_time_and_yet_evenly() -> None:
    bench = with_known_duration(0.0)
    for name in range(2):
        bench.join(name)
    before = bench.core.placement.examined
    bench.submit(*keys(1000))
    assert [len(bench.assigned(name)) for name in range(2)] == [pytest.approx(500, abs=8)] * 2
    assert bench.core.placement.examined - before < 100


def test_a_long_task_in_line_ends_what_is_handed_out_at_a_time() -> None:
    bench = with_known_duration(0.0)
    for name in range(2):
        bench.join(name)
    bench.submit(*keys(10), "long-0", *(f"f-{number}" for number in range(10, 30)))
    owners = [name for name in range(2) if "long-0" in bench.assigned(name)]
    assert len(owners) == 1
    assert bench.assigned(owners[0])[-1] == "long-0", "its worker is full with it"


def test_what_is_finished_makes_room_for_more() -> None:
    bench = with_known_duration(60.0)
    bench.join(0)
    bench.submit(*keys(4))
    bench.finish(0, "f-0", seconds=60.0)
    assert bench.assigned(0) == ["f-1", "f-2"]


def test_a_mean_follows_what_is_measured() -> None:
    bench = with_known_duration(1.0)
    bench.join(0)
    bench.submit("f-0")
    bench.finish(0, "f-0", seconds=2.0)
    mean = bench.core.state.prefixes["f"].mean
    assert mean == pytest.approx(1.2)


# --- who gets it ---


def test_idle_workers_come_first() -> None:
    bench = Bench()
    for name in range(3):
        bench.join(name)
    bench.submit(*keys(3))
    assert [bench.assigned(name) for name in range(3)] == [["f-0"], ["f-1"], ["f-2"]]


def test_of_idle_workers_the_last_at_work_gets_the_next_task() -> None:
    bench = Bench()
    for name in range(3):
        bench.join(name)
    for key in keys(3):
        bench.submit(key)
        assert bench.assigned(0) == [key]
        bench.finish(0, key)


def test_a_worker_that_still_runs_something_is_not_preferred() -> None:
    bench = Bench()
    for name in range(2):
        bench.join(name, nthreads=2)
    bench.submit(*keys(2))
    bench.submit("f-2", workers=["0"])
    bench.finish(1, "f-1")
    bench.finish(0, "f-0")
    bench.submit("f-3")
    assert bench.assigned(1) == ["f-3"]


def test_large_results_are_spread_at_once() -> None:
    bench = Bench()
    for name in range(3):
        bench.join(name)
    for name, key in enumerate(keys(3)):
        bench.submit(key)
        assert bench.assigned(name) == [key]
        bench.finish(name, key, nbytes=LARGE, inline=False)


def test_actors_are_spread_at_once() -> None:
    bench = Bench()
    for name in range(3):
        bench.join(name)
    for name, key in enumerate(keys(3)):
        bench.submit(key, actor=True)
        assert bench.assigned(name) == [key]
        bench.finish(name, key)


def test_a_worker_that_finishes_several_at_once_is_not_preferred() -> None:
    bench = Bench()
    for name in range(2):
        bench.join(name, nthreads=2)
    bench.submit(*keys(2), workers=["0"])
    bench.finish(0, *keys(2))
    bench.submit("f-2")
    assert bench.assigned(1) == ["f-2"]


def test_small_results_that_are_kept_do_not_all_end_up_on_one_worker() -> None:
    bench = Bench()
    for name in range(2):
        bench.join(name)
    many = keys(1001)
    bench.submit(*many, workers=["0"])
    while assigned := bench.assigned(0):
        bench.finish(0, *assigned)
    bench.submit("f-more")
    assert bench.assigned(1) == ["f-more"]


def test_without_workers_tasks_wait_and_go_to_the_first_that_joins() -> None:
    bench = Bench()
    bench.submit(*keys(2))
    assert [bench.state(key) for key in keys(2)] == ["queued", "queued"]
    bench.join(0)
    assert bench.assigned(0) == keys(2)


def test_higher_priority_goes_first_then_first_come_first_served() -> None:
    bench = Bench()
    bench.submit("low-1", "low-2", priority=-1)
    bench.submit("mid-1", "mid-2")
    bench.submit("high-1", "high-2", priority=5)
    bench.join(0, nthreads=5)
    assert bench.assigned(0) == ["high-1", "high-2", "mid-1", "mid-2", "low-1", "low-2"]


def test_an_urgent_task_goes_to_a_worker_that_is_full_of_others() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("f-running", "f-spare", "f-queued")
    bench.submit("f-urgent", "f-urgent-too", "f-urgent-last", priority=1)
    assert bench.assigned(0) == ["f-running", "f-spare", "f-urgent", "f-urgent-too"], "as many as one has room for"
    bench.submit("f-most-urgent", priority=2)
    assert bench.assigned(0)[4:] == ["f-most-urgent"]
    bench.finish(0, "f-running")
    assert bench.assigned(0) == ["f-spare", "f-urgent", "f-urgent-too", "f-most-urgent"], "there was one too many"


def test_tasks_that_are_not_urgent_overtake_those_of_low_priority() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("f-running", "f-low", priority=-1)
    bench.submit("f-usual")
    assert bench.assigned(0) == ["f-running", "f-low", "f-usual"]


def test_an_urgent_task_waits_its_turn_behind_many_short_ones() -> None:
    bench = with_known_duration(0.001)
    bench.join(0)
    bench.submit(*keys(1000))
    ahead = bench.assigned(0)
    bench.submit("f-urgent", priority=1)
    assert bench.assigned(0) == ahead
    bench.finish(0, ahead[0])
    assert bench.assigned(0)[-1] == "f-urgent"


def test_the_worker_learns_the_order_too() -> None:
    bench = Bench()
    bench.join(0, nthreads=2)
    bench.submit("low-1", priority=-1)
    bench.submit("high-1", priority=5)
    priority = {task.key: task.priority for task in bench.computes(0)}
    assert priority["high-1"] < priority["low-1"]


# --- restrictions ---


@pytest.mark.parametrize("name", ["1", "fake://1"], ids=["name", "address"])
def test_a_restricted_task_goes_to_a_worker_that_is_named(name: str) -> None:
    bench = Bench()
    bench.join(0)
    bench.join(1)
    bench.submit("f-0", workers=[name])
    assert bench.assigned(1) == ["f-0"]


def test_a_restricted_task_waits_for_its_worker() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("f-0", workers=["1"])
    assert bench.state("f-0") == "queued"
    assert task_counts(bench.core.state, bench.core.placement).no_worker == 1
    bench.join(1)
    assert bench.assigned(1) == ["f-0"]
    assert task_counts(bench.core.state, bench.core.placement).no_worker == 0


def test_a_preference_is_no_condition() -> None:
    bench = Bench()
    bench.join(0)
    bench.join(1)
    bench.submit("f-0", workers=["1"], allow_other_workers=True)
    assert bench.assigned(1) == ["f-0"]
    bench.submit("f-1", workers=["9"], allow_other_workers=True)
    assert bench.assigned(0) == ["f-1"]


def test_a_restricted_task_is_not_overtaken_by_those_that_came_later() -> None:
    bench = Bench()
    bench.submit("f-0", workers=["0"])
    bench.submit(*keys(50, "g"))
    bench.join(0)
    assert bench.assigned(0) == ["f-0", "g-0"]


def test_a_restricted_task_overtakes_nobody() -> None:
    bench = Bench()
    bench.submit(*keys(2, "g"))
    bench.submit("f-0", workers=["0"])
    bench.join(0)
    assert bench.assigned(0) == ["g-0", "g-1"]


def test_priority_counts_among_restricted_and_free_tasks() -> None:
    bench = Bench()
    bench.submit(*keys(50, "g"))
    bench.submit("f-0", workers=["0"], priority=1)
    bench.submit("f-1", resources={"GPU": 1}, priority=2)
    bench.submit("f-2", workers=["0"], priority=-1)
    bench.join(0, nthreads=2, resources={"GPU": 1})
    assert bench.assigned(0) == ["f-1", "f-0", "g-0"]


def test_a_task_that_fits_nowhere_does_not_hold_up_the_others() -> None:
    bench = Bench()
    bench.submit("f-0", workers=["9"], priority=5)
    bench.submit("f-1", resources={"GPU": 1}, priority=5)
    bench.submit(*keys(2, "g"))
    bench.join(0)
    assert bench.assigned(0) == ["g-0", "g-1"]


# --- resources ---


def test_a_task_takes_its_resources_and_gives_them_back() -> None:
    bench = Bench()
    worker = bench.join(0, nthreads=4, resources={"GPU": 2})
    bench.submit(*keys(4), resources={"GPU": 1})
    assert bench.assigned(0) == ["f-0", "f-1"]
    assert worker.available == {"GPU": 0}
    bench.finish(0, "f-0")
    assert bench.assigned(0) == ["f-1", "f-2"]
    bench.fail(0, "f-1")
    assert bench.assigned(0) == ["f-2", "f-3"]
    bench.release("f-2")
    bench.finish(0, "f-3")
    assert worker.available == {"GPU": 2}


def test_without_its_resources_a_task_waits() -> None:
    bench = Bench()
    bench.join(0, nthreads=4)
    bench.join(1, nthreads=4, resources={"GPU": 1})
    bench.submit("f-0", resources={"GPU": 2})
    assert bench.state("f-0") == "queued"
    assert task_counts(bench.core.state, bench.core.placement).no_worker == 1
    bench.join(2, resources={"GPU": 2})
    assert bench.assigned(2) == ["f-0"]


def test_what_takes_nothing_of_a_resource_still_needs_no_such_worker() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("f-0", resources={"GPU": 0})
    assert bench.state("f-0") == "processing"
    bench.finish(0, "f-0")
    assert bench.done() == ["f-0"]


def test_fractions_of_a_resource_add_up() -> None:
    bench = Bench()
    worker = bench.join(0, nthreads=20, resources={"GPU": 1})
    bench.submit(*keys(12), resources={"GPU": 0.1})
    assert len(bench.assigned(0)) == 10
    bench.run_all()
    assert worker.available["GPU"] == pytest.approx(1)


# --- data ---


def test_a_task_goes_to_its_large_data() -> None:
    bench = Bench()
    for name in range(3):
        bench.join(name)
    bench.submit("data-1", workers=["1"])
    bench.finish(1, "data-1", nbytes=LARGE, inline=False)
    bench.submit("f-0", needs={"f-0": ["data-1"]})
    assert bench.assigned(1) == ["f-0"]
    [dependency] = bench.computes(1)[-1].dependencies
    assert (dependency.key, dependency.holders, dependency.payload) == ("data-1", ["fake://1"], None)


def test_large_data_that_is_shared_ties_no_task_to_its_holder() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("data-1")
    bench.finish(0, "data-1", nbytes=LARGE, inline=False)
    shared = Payload(b"pickle", (Frame(None, shared=FakeShared(LARGE)),))
    bench.report(0, m.DataShared([m.DataItem("data-1", shared, LARGE)]))
    bench.submit("block-1", workers=["0"])
    bench.join(1)
    bench.submit("f-0", needs={"f-0": ["data-1"]})
    assert bench.assigned(1) == ["f-0"]
    [dependency] = bench.computes(1)[-1].dependencies
    assert (dependency.payload, dependency.holders) == (shared, [])


def test_small_data_goes_along_to_any_worker() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("data-1")
    bench.finish(0, "data-1", nbytes=5)
    bench.submit("block-1", workers=["0"])
    bench.join(1)
    bench.submit("f-0", needs={"f-0": ["data-1"]})
    assert bench.assigned(1) == ["f-0"]
    [dependency] = bench.computes(1)[-1].dependencies
    assert dependency.payload is not None
    assert dependency.holders == []


def test_a_long_queue_outweighs_a_short_transfer() -> None:
    bench = with_known_duration(60.0, bandwidth=1e9)
    bench.join(0)
    bench.submit("data-1")
    bench.finish(0, "data-1", nbytes=LARGE, inline=False)
    bench.submit("f-0", workers=["0"])
    bench.join(1)
    bench.submit("f-1", needs={"f-1": ["data-1"]})
    assert bench.assigned(1) == ["f-1"]
    [dependency] = bench.computes(1)[-1].dependencies
    assert dependency.holders == ["fake://0"]


def test_a_long_transfer_outweighs_a_short_queue() -> None:
    bench = with_known_duration(0.01, bandwidth=1e6)
    bench.join(0)
    bench.submit("data-1")
    bench.finish(0, "data-1", nbytes=100 * LARGE, inline=False)
    bench.submit("f-0", workers=["0"])
    bench.join(1)
    bench.submit("f-1", needs={"f-1": ["data-1"]})
    assert bench.assigned(0) == ["f-0", "f-1"]


def test_a_restriction_outweighs_the_data() -> None:
    bench = Bench()
    bench.join(0)
    bench.join(1)
    bench.submit("data-1", workers=["1"])
    bench.finish(1, "data-1", nbytes=LARGE, inline=False)
    bench.submit("f-0", needs={"f-0": ["data-1"]}, workers=["0"])
    assert bench.assigned(0) == ["f-0"]
    bench.submit("f-1", needs={"f-1": ["data-1"]}, workers=["9"])
    assert bench.state("f-1") == "queued"


# --- leaving ---


def test_a_retiring_worker_gets_nothing_more_and_gives_back_what_it_has() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit(*keys(2))
    bench.handle(RetireWorkers([0]))
    bench.submit("f-9")
    assert bench.assigned(0) == keys(2)
    [recall] = bench.heard(0, m.RecallTasks)
    assert len(recall.run_ids) == 2
    bench.give_back(0, "f-1")
    assert bench.state("f-1") == bench.state("f-9") == "queued"
    bench.join(1)
    assert bench.assigned(1) == ["f-1", "f-9"]


def test_what_a_lost_worker_had_goes_to_others_in_its_old_order() -> None:
    bench = Bench()
    bench.join(0, nthreads=2)
    bench.submit(*keys(5))
    bench.leave(0)
    bench.join(1, nthreads=4)
    assert bench.assigned(1) == keys(5)
