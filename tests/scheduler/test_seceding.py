"""What tasks that give up their thread mean for who gets which."""

from __future__ import annotations

from nbcluster.protocol import messages as m
from nbcluster.scheduler.events import ClientJoined, ClientLeft, RetireWorkers, WorkerLeft
from tests.support.scheduler_bench import Bench

# --- tasks that secede


def secede(bench: Bench, key: str) -> None:
    bench.report(0, m.TaskSeceded(key, bench.run_id(0, key)))


def test_a_task_that_secedes_makes_room_and_is_no_work_ahead() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("f-0", "f-1", "f-2")
    assert bench.assigned(0) == ["f-0", "f-1"]
    secede(bench, "f-0")
    assert bench.assigned(0) == ["f-0", "f-1", "f-2"]
    assert bench.task("f-0").estimate == 0.0


def test_and_takes_it_back_when_it_rejoins() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("f-0", "f-1")
    secede(bench, "f-0")
    bench.report(0, m.TaskRejoined("f-0", bench.run_id(0, "f-0")))
    bench.submit("f-2")
    assert bench.assigned(0) == ["f-0", "f-1"]
    assert not bench.worker(0).long_running


def test_it_is_not_stolen() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("f-0", "f-1", "f-2")
    secede(bench, "f-0")
    seceded = bench.run_id(0, "f-0")
    bench.join(1)
    recalled = [run_id for recall in bench.heard(0, m.RecallTasks) for run_id in recall.run_ids]
    assert recalled
    assert seceded not in recalled


def test_how_long_it_took_says_nothing_of_its_like() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("f-0")
    secede(bench, "f-0")
    bench.finish(0, "f-0", seconds=100.0)
    assert bench.core.state.prefixes["f"].mean is None


def test_a_worker_whose_task_waits_is_not_in_doubt_when_that_is_released() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("f-0")
    secede(bench, "f-0")
    run_id = bench.run_id(0, "f-0")
    bench.release("f-0")
    assert not bench.worker(0).doubtful
    bench.report(0, m.TaskRejoined("f-0", run_id))  # its thread is busy with it after all
    assert bench.worker(0).doubtful


def test_a_task_that_waits_is_requeued_without_blame_when_its_worker_dies() -> None:
    bench = Bench(allowed_failures=0)
    bench.join(0)
    bench.submit("f-0")
    secede(bench, "f-0")
    bench.leave(0)
    assert (bench.state("f-0"), bench.task("f-0").suspicious) == ("queued", 0)


def test_unless_the_worker_died_of_what_the_task_itself_had_submitted() -> None:
    bench = Bench(allowed_failures=0)
    bench.join(0)
    bench.submit("f-0")
    secede(bench, "f-0")
    bench.handle(ClientJoined("the worker's"))
    bench.submit("deadly-0", client="the worker's")
    deadly = bench.run_id(0, "deadly-0")
    bench.handle(ClientLeft("the worker's"))
    bench.handle(WorkerLeft(0, frozenset([deadly]), "was killed by SIGKILL"))
    assert (bench.state("f-0"), bench.task("f-0").blamed) == ("erred", "f-0")


def test_a_retiring_worker_waits_for_it_as_long_as_others_can_run_what_it_waits_for() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("f-0")
    secede(bench, "f-0")
    bench.join(1)
    bench.handle(RetireWorkers([0]))
    assert bench.said[None] == []
    bench.handle(RetireWorkers([1]))
    assert {retired.name for retired in bench.said[None]} == {0, 1}
    assert bench.state("f-0") == "queued"
