"""What is computed again when its data is lost, and what errs: who is blamed, and what a retry does."""

from __future__ import annotations

from nbcluster.protocol import messages as m
from tests.support.scheduler_bench import Bench
from tests.support.task_states import erred, in_memory, lineage, processing, scattered, waiting

# --- losing data ---


def test_lost_data_is_computed_again_from_its_lineage() -> None:
    bench = lineage()
    assert bench.state("f-0") == "released"
    bench.join(1)
    bench.leave(0)
    assert bench.heard("ada", m.KeysPending) == [m.KeysPending(["g-0"])]
    assert bench.assigned(1) == ["f-0"]
    bench.finish(1, "f-0")
    bench.finish(1, "g-0")
    assert bench.done() == ["g-0", "g-0"]
    assert bench.state("f-0") == "released"


def test_data_that_another_worker_holds_too_is_not_lost() -> None:
    bench = in_memory()
    bench.join(1)
    bench.report(1, m.DataAdded([m.StoredData("f-0", 1)]))
    bench.leave(0)
    assert bench.state("f-0") == "memory"
    assert bench.heard("ada", m.KeysPending) == []


def test_small_data_that_the_scheduler_has_is_not_lost() -> None:
    bench = processing()
    bench.finish(0, "f-0", inline=True)
    bench.leave(0)
    assert bench.state("f-0") == "memory"


def test_scattered_data_that_is_lost_errs_by_name() -> None:
    bench = scattered()
    bench.submit("g-0", needs={"g-0": ["data-0"]}, workers=["9"])
    bench.leave(0)
    errors = {erred.key: erred for erred in bench.heard("ada", m.KeyErred)}
    assert errors["data-0"].error == m.Lost("fake://0")
    assert errors["g-0"].blamed == "data-0"


def test_what_a_client_could_not_fetch_is_computed_again() -> None:
    bench = in_memory()
    bench.ask(m.ReportMissing([m.MissingData("f-0", "fake://0")]))
    assert bench.state("f-0") == "processing"
    assert m.FreeKeys(["f-0"]) in bench.heard(0, m.FreeKeys)


def test_what_a_task_could_not_fetch_is_computed_again_before_it() -> None:
    bench = in_memory()
    bench.join(1)
    bench.submit("g-0", needs={"g-0": ["f-0"]}, workers=["1"])
    run_id = bench.run_id(1, "g-0")
    bench.report(1, m.TaskReturned("g-0", run_id, [m.MissingData("f-0", "fake://0")]))
    assert bench.state("g-0") == "waiting"
    assert bench.state("f-0") == "processing"
    bench.run_all()
    assert bench.done()[-1] == "g-0"


def test_a_worker_that_lost_data_of_its_own_is_not_told_to_drop_what_it_has_got_since() -> None:
    bench = in_memory()
    bench.join(1)
    bench.report(1, m.DataAdded([m.StoredData("f-0", 10)]))
    bench.submit("g-0", needs={"g-0": ["f-0"]}, workers=["0"])
    lost = m.TaskReturned("g-0", bench.run_id(0, "g-0"), [m.MissingData("f-0", "fake://0")])
    bench.report(0, lost, m.DataAdded([m.StoredData("f-0", 10)]))
    assert bench.heard(0, m.FreeKeys) == []
    assert set(bench.task("f-0").who_has) == {bench.worker(0), bench.worker(1)}
    bench.run_all()
    assert bench.done()[-1] == "g-0"


# --- failing ---


def test_an_error_goes_to_all_that_depend_on_the_task() -> None:
    bench = waiting()
    bench.submit("h-0", needs={"h-0": ["g-0"]})
    bench.fail(0, "f-0")
    assert {e.key: e.blamed for e in bench.heard("ada", m.KeyErred)} == {"f-0": "f-0", "g-0": "f-0", "h-0": "f-0"}


def test_a_task_on_an_erred_one_errs_at_once() -> None:
    bench = erred()
    bench.submit("g-0", needs={"g-0": ["f-0"]})
    assert bench.state("g-0") == "erred"
    assert bench.heard("ada", m.KeyErred)[-1].blamed == "f-0"


def test_retries_are_used_up_one_by_one() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("f-0", retries=2)
    for _ in range(2):
        bench.fail(0, "f-0")
        assert bench.state("f-0") == "processing"
    bench.fail(0, "f-0")
    assert bench.state("f-0") == "erred"
    assert len(bench.computes(0)) == 3


def test_each_run_has_a_number_of_its_own() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("f-0", retries=2)
    bench.fail(0, "f-0")
    bench.report(0, m.TaskRescheduled("f-0", bench.run_id(0, "f-0")))
    assert len({task.run_id for task in bench.computes(0)}) == 3


def test_retrying_runs_the_task_and_what_it_failed_of_again() -> None:
    bench = waiting()
    bench.fail(0, "f-0")
    bench.ask(m.RetryKeys(["g-0"]))
    assert (bench.state("f-0"), bench.state("g-0")) == ("processing", "waiting")
    pending = [key for message in bench.heard("ada", m.KeysPending) for key in message.keys]
    assert sorted(pending) == ["f-0", "g-0"]
    bench.finish(0, "f-0")
    bench.finish(0, "g-0")
    assert bench.done() == ["f-0", "g-0"]


def test_only_the_task_that_was_running_is_blamed_for_a_death() -> None:
    bench = Bench(allowed_failures=2)
    bench.submit("guilty-0", "innocent-0")
    for name in range(3):
        bench.join(name)
        bench.leave(name, "guilty-0", cause="was killed by SIGSEGV")
    [erred] = bench.heard("ada", m.KeyErred)
    assert (erred.key, erred.error) == ("guilty-0", m.Killed(3, "fake://2", "was killed by SIGSEGV", ""))
    assert bench.state("innocent-0") == "queued"
