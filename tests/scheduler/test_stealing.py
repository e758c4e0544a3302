"""What an idle worker gets of what another has not started, and of what waits behind a run that was given up."""

from __future__ import annotations

from typing import Any

from nbcluster.protocol import messages as m
from tests.support.scheduler_bench import LARGE, Bench, keys, with_known_duration

# --- stealing ---


def busy_and_idle(tasks: int, **options: Any) -> Bench:
    """Worker 0 has all tasks, and worker 1 has just joined."""
    bench = with_known_duration(0.001, prefetch=1.0)
    bench.join(0)
    bench.submit(*keys(tasks), **options)
    assert len(bench.assigned(0)) == tasks
    bench.join(1)
    return bench


def test_an_idle_worker_takes_half_of_what_another_has_not_started() -> None:
    bench = busy_and_idle(9)
    [recall] = bench.heard(0, m.RecallTasks)
    assert sorted(recall.run_ids) == sorted(bench.run_id(0, key) for key in keys(9)[5:])
    bench.give_back(0, *keys(9)[5:])
    assert bench.assigned(1)[0] == "f-5"
    assert sorted(bench.assigned(0) + bench.assigned(1)) == keys(9)


def test_what_had_started_stays() -> None:
    bench = busy_and_idle(9)
    bench.give_back(0, "f-8")
    assert bench.assigned(1) == ["f-8"]
    assert bench.assigned(0) == keys(8)


def test_there_is_one_recall_at_a_time() -> None:
    bench = busy_and_idle(9)
    bench.join(2)
    bench.submit("g-0", workers=["9"])
    assert len(bench.heard(0, m.RecallTasks)) == 1
    bench.give_back(0)
    assert len(bench.heard(0, m.RecallTasks)) == 2


def test_restricted_tasks_are_not_taken_by_others() -> None:
    bench = busy_and_idle(9, workers=["0"])
    assert bench.heard(0, m.RecallTasks) == []


def test_a_task_stays_with_its_large_data_unless_it_would_start_sooner_elsewhere() -> None:
    bench = with_known_duration(0.001, prefetch=1.0, bandwidth=1e6)
    bench.join(0)
    bench.submit("data-1")
    bench.finish(0, "data-1", nbytes=LARGE, inline=False)
    bench.submit(*keys(9), needs={key: ["data-1"] for key in keys(9)})
    bench.join(1)
    assert bench.heard(0, m.RecallTasks) == []


def test_with_nothing_spare_nothing_is_taken() -> None:
    bench = busy_and_idle(1)
    assert bench.heard(0, m.RecallTasks) == []


def test_what_a_worker_has_no_resources_for_now_is_not_taken() -> None:
    bench = with_known_duration(0.001, prefetch=1.0)
    bench.join(0, nthreads=2, resources={"GPU": 5})
    bench.submit(*keys(5), resources={"GPU": 1})
    assert len(bench.assigned(0)) == 5
    bench.join(1, nthreads=2, resources={"GPU": 1})
    bench.submit("f-9", resources={"GPU": 1}, workers=["1"])
    for recall in bench.heard(0, m.RecallTasks):
        bench.report(0, m.TasksRecalled([], recall.request))
    assert len(bench.heard(0, m.RecallTasks)) <= 1


# --- runs that were given up ---


def doubtful_and_idle() -> Bench:
    """Worker 0's only thread may be busy with a run that was cancelled; worker 1 is idle."""
    bench = Bench()
    bench.join(0)
    bench.submit("slow-0")
    bench.ask(m.CancelKeys(["slow-0"], "cancelled", ""))
    bench.join(1)
    return bench


def test_others_get_tasks_before_one_whose_thread_may_be_busy() -> None:
    bench = doubtful_and_idle()
    bench.submit("f-0")
    assert bench.assigned(1) == ["f-0"]


def test_what_waits_behind_a_run_that_was_given_up_goes_to_who_is_idle() -> None:
    bench = doubtful_and_idle()
    bench.submit("f-0", workers=["0"], allow_other_workers=True)
    assert bench.assigned(0) == ["f-0"]
    bench.submit("g-0", workers=["0"])
    bench.submit("h-0", "h-1", "h-2")
    assert bench.assigned(0) == ["f-0", "g-0"]
    assert bench.heard(0, m.RecallTasks) == []


def test_an_idle_worker_takes_all_that_such_a_one_has_not_started() -> None:
    bench = doubtful_and_idle()
    bench.submit("g-0", "g-1")
    bench.submit("f-0")
    assert (bench.assigned(1), bench.assigned(0)) == (["g-0", "f-0"], ["g-1"])
    bench.finish(1, "g-0", "f-0")
    [recall] = bench.heard(0, m.RecallTasks)
    bench.give_back(0, "g-1")
    assert bench.assigned(1) == ["g-1"]
    assert len(recall.run_ids) == 1


def test_one_that_has_started_all_it_has_is_beyond_doubt() -> None:
    bench = doubtful_and_idle()
    bench.submit("g-0", "g-1")
    bench.finish(1, "g-0")
    bench.give_back(0)
    assert not bench.worker(0).doubtful
    assert bench.assigned(0) == ["g-1"]
    assert len(bench.heard(0, m.RecallTasks)) == 1


def test_so_is_one_that_finishes_something() -> None:
    bench = doubtful_and_idle()
    bench.submit("g-0", "g-1")
    bench.finish(0, "g-1")
    assert not bench.worker(0).doubtful
    bench.submit("f-0")
    assert bench.assigned(0) == ["f-0"]


def test_its_data_does_not_bring_tasks_back_to_it() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("data-0")
    bench.finish(0, "data-0", nbytes=LARGE, inline=False)
    bench.submit("slow-0")
    bench.ask(m.CancelKeys(["slow-0"], "cancelled", ""))
    bench.join(1)
    bench.submit("f-0", needs={"f-0": ["data-0"]})
    assert bench.assigned(1) == ["f-0"]


def test_alone_it_gets_the_tasks_all_the_same() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("slow-0")
    bench.ask(m.CancelKeys(["slow-0"], "cancelled", ""))
    bench.submit("f-0")
    assert bench.assigned(0) == ["f-0"]
