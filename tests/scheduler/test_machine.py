"""Every transition of a task, how it comes about and what it does; then what is worth a story of its own."""

from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Callable

import pytest

from nbcluster.protocol import messages as m
from nbcluster.protocol.operating import Replicate
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.scheduler.events import ClientJoined, ClientLeft, Forget, RetireWorkers
from nbcluster.scheduler.state import STATE_NAMES
from tests.support.scheduler_bench import ALLOWED, Bench


def queued() -> Bench:
    bench = Bench()
    bench.submit("f-0")
    return bench


def processing() -> Bench:
    bench = queued()
    bench.join(0)
    return bench


def waiting() -> Bench:
    """``g-0`` waits for ``f-0``, which runs."""
    bench = processing()
    bench.submit("g-0", needs={"g-0": ["f-0"]})
    return bench


def in_memory() -> Bench:
    bench = processing()
    bench.finish(0, "f-0", inline=False)
    return bench


def erred() -> Bench:
    bench = processing()
    bench.fail(0, "f-0")
    return bench


def scattered() -> Bench:
    """``data-0`` is with worker 0, and nothing can recompute it."""
    bench = Bench()
    bench.join(0)
    bench.scatter("data-0", nbytes=10_000)
    bench.report(0, m.DataAdded([m.StoredData("data-0", 10_000)]))
    return bench


def lineage() -> Bench:
    """``f-0`` was needed for ``g-0`` only: it is released, and kept as the way to compute it again."""
    bench = waiting()
    bench.release("f-0")
    bench.finish(0, "f-0", inline=False)
    bench.finish(0, "g-0", inline=False)
    return bench


def on_its_way() -> Bench:
    """``data-0`` was sent to worker 0."""
    bench = Bench()
    bench.join(0)
    bench.scatter("data-0")
    return bench


def queued_behind_a_result() -> Bench:
    """``g-0`` must run where nobody is; its data ``f-0`` is with worker 0."""
    bench = in_memory()
    bench.submit("g-0", needs={"g-0": ["f-0"]}, workers=["9"])
    return bench


def queued_behind_data() -> Bench:
    """The same, with data that nothing can recompute."""
    bench = scattered()
    bench.submit("g-0", needs={"g-0": ["data-0"]}, workers=["9"])
    return bench


def running_on_a_result() -> Bench:
    """``g-0`` runs on worker 1 and fetches its data ``f-0`` from worker 0."""
    bench = in_memory()
    bench.join(1)
    bench.submit("g-0", needs={"g-0": ["f-0"]}, workers=["1"])
    return bench


def return_unrun(bench: Bench) -> None:
    """Worker 1 could not fetch what ``g-0`` needs."""
    bench.report(1, m.TaskReturned("g-0", bench.run_id(1, "g-0"), [m.MissingData("f-0", "fake://0")]))


Row = tuple[str, str, str, Callable[[], Bench], Callable[[Bench], object]]

TABLE: list[Row] = [
    ("released", "waiting", "f-0", lineage, lambda b: b.leave(0)),
    ("released", "memory", "data-0", on_its_way, lambda b: b.report(0, m.DataAdded([m.StoredData("data-0", 10)]))),
    ("released", "erred", "unknown", Bench, lambda b: b.submit("g-0", needs={"g-0": ["unknown"]})),
    ("released", "forgotten", "f-0", lineage, lambda b: b.release("g-0")),
    ("waiting", "queued", "g-0", waiting, lambda b: b.finish(0, "f-0")),
    ("waiting", "released", "g-0", waiting, lambda b: b.release("g-0")),
    ("waiting", "erred", "g-0", waiting, lambda b: b.fail(0, "f-0")),
    ("queued", "processing", "f-0", queued, lambda b: b.join(0)),
    ("queued", "waiting", "g-0", queued_behind_a_result, lambda b: b.leave(0)),
    ("queued", "released", "f-0", queued, lambda b: b.release("f-0")),
    ("queued", "erred", "g-0", queued_behind_data, lambda b: b.leave(0)),
    ("processing", "memory", "f-0", processing, lambda b: b.finish(0, "f-0")),
    ("processing", "erred", "f-0", processing, lambda b: b.fail(0, "f-0")),
    ("processing", "queued", "f-0", processing, lambda b: b.leave(0)),
    ("processing", "waiting", "g-0", running_on_a_result, return_unrun),
    ("processing", "released", "f-0", processing, lambda b: b.release("f-0")),
    ("memory", "released", "f-0", in_memory, lambda b: b.release("f-0")),
    ("memory", "erred", "data-0", scattered, lambda b: b.leave(0)),
    ("erred", "released", "f-0", erred, lambda b: b.ask(m.RetryKeys(["f-0"]))),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]} to {row[1]}")
def test_every_transition_comes_about(row: Row) -> None:
    start, finish, key, make, happens = row
    bench = make()
    assert bench.state(key) in (start, "forgotten")  # a new key begins as released
    before = len(bench.core.state.story)
    happens(bench)
    told = [entry[2:4] for entry in list(bench.core.state.story)[before:] if entry[1] == key]
    assert (STATE_NAMES.index(start), STATE_NAMES.index(finish)) in told


def test_the_table_is_complete() -> None:
    assert {row[:2] for row in TABLE} == ALLOWED


# --- towards running ---


def test_a_new_task_without_dependencies_is_queued_at_once() -> None:
    bench = queued()
    assert bench.state("f-0") == "queued"


def test_a_queued_task_goes_to_a_worker_with_its_function() -> None:
    bench = processing()
    assert bench.state("f-0") == "processing"
    [definition] = bench.heard(0, m.DefineFunctions)
    [task] = bench.computes(0)
    assert definition.functions == {b"f": Payload(b"f")}
    assert (task.key, task.function, task.data) == ("f-0", b"f", b"arguments")
    assert bench.worker(0).occupancy > 0


def test_a_function_is_sent_once_to_each_worker() -> None:
    bench = Bench()
    bench.join(0, nthreads=4)
    bench.submit("f-0")
    bench.submit("f-1")
    assert len(bench.heard(0, m.DefineFunctions)) == 1


def test_a_task_waits_for_its_dependencies() -> None:
    bench = waiting()
    assert bench.state("g-0") == "waiting"
    bench.finish(0, "f-0")
    assert bench.assigned(0) == ["g-0"]


def test_a_task_waits_for_all_of_them() -> None:
    bench = Bench()
    bench.join(0, nthreads=4)
    bench.submit("f-0", "f-1", "g-0", needs={"g-0": ["f-0", "f-1", "f-0"]})
    bench.finish(0, "f-0")
    assert bench.state("g-0") == "waiting"
    bench.finish(0, "f-1")
    assert bench.state("g-0") == "processing"
    assert [d.key for d in bench.computes(0)[-1].dependencies] == ["f-0", "f-1"]


def test_a_task_on_data_that_nobody_knows_errs_by_the_datas_name() -> None:
    bench = Bench()
    bench.submit("g-0", needs={"g-0": ["nobody-knows-it"]})
    [erred] = bench.heard("ada", m.KeyErred)
    assert (erred.key, erred.blamed, type(erred.error)) == ("g-0", "nobody-knows-it", m.Lost)


def test_the_same_key_again_joins_the_task_that_is_there() -> None:
    bench = in_memory()
    bench.handle(ClientJoined("bob"))
    bench.submit("f-0", client="bob")
    assert bench.done("bob") == ["f-0"]
    assert len(bench.computes(0)) == 1
    bench.release("f-0")
    assert bench.state("f-0") == "memory"


# --- in memory ---


def test_a_result_is_announced_with_a_small_payload() -> None:
    bench = processing()
    bench.finish(0, "f-0", nbytes=7)
    [done] = bench.heard("ada", m.KeysDone)
    assert done.items == [m.KeyDone("f-0", "int", 7, Payload(b"x"))]
    assert list(bench.task("f-0").who_has) == [bench.worker(0)]


def test_clients_are_sent_only_so_many_bytes_unasked() -> None:
    bench = Bench(client_budget=1)
    bench.join(0, nthreads=4)
    bench.submit("f-0", "f-1")
    bench.finish(0, "f-0", "f-1")
    [done] = bench.heard("ada", m.KeysDone)
    assert [item.payload is not None for item in done.items] == [True, False]
    bench.ask(m.Locate(1, ["f-1"]))
    [located] = bench.heard("ada", m.Located)
    assert [(item.key, item.payload) for item in located.items] == [("f-1", Payload(b"x"))]


def test_the_scheduler_keeps_only_so_many_bytes() -> None:
    bench = Bench(inline_budget=2)
    bench.join(0, nthreads=8)
    bench.submit("f-0", "f-1", "f-2", "f-3")
    bench.finish(0, "f-0", "f-1", "f-2", "f-3")
    kept = [key for key in ("f-0", "f-1", "f-2", "f-3") if bench.task(key).payload is not None]
    assert kept == ["f-2", "f-3"]
    assert bench.core.state.inlined_bytes == 2


class Blob:
    """A buffer in shared memory."""

    nbytes = 10_000_000
    elsewhere = False

    def __init__(self, lost: bool = False) -> None:
        self.lost = lost

    def name(self) -> int:
        return 1

    def open(self) -> memoryview:
        raise AssertionError("the scheduler looks into nothing")


def shared(lost: bool = False) -> Payload:
    return Payload(b"x", (Frame(None, shared=Blob(lost)),))


def has_shared(bench: Bench, *keys: str, worker: int = 0, lost: bool = False) -> None:
    bench.report(worker, m.DataShared([m.DataItem(key, shared(lost), 10_000_000, "ndarray") for key in keys]))


def test_what_is_in_shared_memory_survives_its_worker_and_is_told_to_whoever_asks() -> None:
    bench = in_memory()
    has_shared(bench, "f-0")
    bench.leave(0)
    assert bench.state("f-0") == "memory"
    assert not bench.heard("ada", m.KeysPending)
    bench.ask(m.Locate(1, ["f-0"]))
    [located] = bench.heard("ada", m.Located)
    assert [(item.holders, item.payload.is_shared) for item in located.items if item.payload] == [([], True)]
    bench.submit("g-0", needs={"g-0": ["f-0"]})
    bench.join(1)
    [compute] = bench.computes(1)
    assert [dependency.payload is not None for dependency in compute.dependencies] == [True]


def test_what_was_shared_and_then_freed_is_gone_from_the_scheduler_too() -> None:
    bench = in_memory()
    has_shared(bench, "f-0")
    bench.release("f-0")
    assert (bench.state("f-0"), bench.core.state.inlined_bytes) == ("forgotten", 0)


def taken_away(bench: Bench, *keys: str, worker: int = 0) -> None:
    bench.report(worker, m.DataTakenAway(list(keys)))


def test_what_a_worker_took_from_shared_memory_to_its_disk_is_had_from_it_alone() -> None:
    bench = in_memory()
    bench.join(1)
    has_shared(bench, "f-0")
    bench.report(1, m.DataAdded([m.StoredData("f-0", 10_000_000)]))
    assert len(bench.task("f-0").who_has) == 2
    taken_away(bench, "f-0")
    assert [worker.name for worker in bench.task("f-0").who_has] == [0]
    assert bench.task("f-0").payload is None
    assert bench.core.state.inlined_bytes == 0
    assert [message.keys for message in bench.heard(1, m.FreeKeys)] == [["f-0"]]
    bench.ask(m.Locate(1, ["f-0"]))
    [located] = bench.heard("ada", m.Located)
    assert [(item.holders, item.payload) for item in located.items] == [(["fake://0"], None)]
    has_shared(bench, "f-0")
    assert bench.task("f-0").payload is not None, "and it may be shared again"


def test_copies_that_somebody_asked_for_are_not_given_up_for_one_on_a_disk() -> None:
    bench = in_memory()
    bench.join(1)
    has_shared(bench, "f-0")
    bench.ask(Replicate(1, ["f-0"], 2))
    bench.report(1, m.DataAdded([m.StoredData("f-0", 10_000_000)]))
    taken_away(bench, "f-0")
    assert len(bench.task("f-0").who_has) == 2
    assert bench.task("f-0").payload is not None


def test_news_of_what_was_taken_away_that_are_no_more_change_nothing() -> None:
    bench = in_memory()
    bench.join(1)
    has_shared(bench, "f-0")
    payload = bench.task("f-0").payload
    taken_away(bench, "f-0", "unknown", worker=1)
    assert bench.task("f-0").payload is payload
    bench.release("f-0")
    taken_away(bench, "f-0")
    assert bench.state("f-0") == "forgotten"


@pytest.mark.parametrize("stage", [queued, processing, erred, lineage])
def test_news_of_shared_results_that_are_no_more_changes_nothing(stage: Callable[[], Bench]) -> None:
    bench = stage()
    if not bench.core.state.workers:
        bench.join(0)
    before = bench.state("f-0")
    has_shared(bench, "f-0", "unknown")
    assert bench.state("f-0") == before
    assert bench.task("f-0").payload is None


def test_nor_do_news_from_a_worker_that_does_not_hold_them_or_that_come_twice() -> None:
    bench = in_memory()
    bench.join(1)
    has_shared(bench, "f-0", worker=1)
    assert bench.task("f-0").payload is None
    has_shared(bench, "f-0")
    first = bench.task("f-0").payload
    has_shared(bench, "f-0")
    assert bench.task("f-0").payload is first


def test_a_result_that_was_gone_before_its_news_arrived_is_computed_again() -> None:
    bench = in_memory()
    bench.join(1)
    has_shared(bench, "f-0", lost=True)
    bench.leave(0)
    assert [pending.keys for pending in bench.heard("ada", m.KeysPending)] == [["f-0"]]
    assert bench.state("f-0") == "processing"


def test_scattered_data_that_is_shared_in_part_is_kept_however_large_the_rest_of_it() -> None:
    bench = Bench()
    bench.join(0)
    payload = Payload(bytes(1_000_000), (Frame(None, shared=Blob()),))
    bench.ask(m.Scatter([m.DataItem("data-0", payload, 11_000_000, "DataFrame")]))
    bench.report(0, m.DataAdded([m.StoredData("data-0", 11_000_000)]))
    assert bench.task("data-0").payload is payload


def test_what_is_shared_is_kept_however_many_small_results_there_are() -> None:
    bench = Bench(inline_budget=3)
    bench.join(0, nthreads=8)
    bench.submit("f-0", "f-1", "f-2", "f-3", "f-4")
    bench.finish(0, "f-0", inline=False)
    has_shared(bench, "f-0")
    bench.finish(0, "f-1", "f-2", "f-3", "f-4")
    assert [bench.task(f"f-{index}").payload is not None for index in range(5)] == [True, False, False, True, True]


def test_small_results_that_are_gone_leave_no_trace() -> None:
    bench = Bench()
    bench.join(0, nthreads=64)
    for number in range(0, 5000, 50):
        keys = [f"f-{index}" for index in range(number, number + 50)]
        bench.submit(*keys)
        bench.finish(0, *keys)
        bench.release(*keys)
    state = bench.core.state
    assert (len(state.tasks), state.inlined_bytes) == (0, 0)
    assert not state.inlined


def test_a_small_result_is_let_go_of_when_it_is_released_and_not_when_the_next_one_comes() -> None:
    """What comes next would wait for that: of a great many it takes long."""
    bench = Bench()
    bench.join(0, nthreads=64)
    keys = [f"f-{index}" for index in range(3000)]
    bench.submit(*keys)
    while computed := [task.key for task in bench.computes(0) if bench.state(task.key) == "processing"]:
        bench.finish(0, *computed)
    inlined = bench.core.state.inlined
    assert len(inlined) == 3000
    bench.release(*keys[:1000])
    assert len(inlined) == 2000
    bench.release(*keys[2500:])
    assert len(inlined) == 1500
    bench.release(*keys[1001:2499])  # the first and the last of those that are left stay
    assert [task.key for task in bench.core.state.inlined] == ["f-1000", "f-2499"]


def test_a_result_that_is_wanted_no_more_is_freed_and_forgotten() -> None:
    bench = in_memory()
    bench.release("f-0")
    assert bench.state("f-0") == "forgotten"
    assert bench.heard(0, m.FreeKeys) == [m.FreeKeys(["f-0"])]
    assert bench.heard(0, m.ForgetFunctions) == [m.ForgetFunctions([b"f"])]
    assert bench.core.state.functions == {}


def test_a_result_nobody_wants_is_kept_while_a_task_needs_it() -> None:
    bench = waiting()
    bench.release("f-0")
    assert bench.state("f-0") == "processing"
    bench.finish(0, "f-0")
    assert bench.state("f-0") == "memory"
    bench.finish(0, "g-0")
    assert bench.state("f-0") == "released"
    bench.release("g-0")
    assert bench.state("f-0") == bench.state("g-0") == "forgotten"


def test_a_stale_report_is_dropped_and_its_result_freed() -> None:
    bench = processing()
    run_id = bench.run_id(0, "f-0")
    bench.release("f-0")
    bench.said.clear()
    bench.report(0, m.TasksDone([m.TaskDone("f-0", run_id, 1, "int", 0, 0.0, 1.0)]))
    assert bench.heard(0, m.FreeKeys) == [m.FreeKeys(["f-0"])]
    assert bench.done() == []


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


# --- letting go ---


def test_a_client_that_leaves_releases_all_it_wanted() -> None:
    bench = waiting()
    bench.handle(ClientLeft("ada"))
    assert bench.core.state.tasks == {}
    assert m.FreeKeys(["f-0"]) in bench.heard(0, m.FreeKeys)


def test_a_release_that_comes_before_a_new_wish_in_one_batch_changes_nothing() -> None:
    bench = in_memory()
    submit = m.SubmitTasks(b"f", Payload(b"f"), ["f-0"], [b"arguments"])
    bench.ask(m.ReleaseKeys(["f-0"]), submit)
    assert bench.state("f-0") == "memory"
    assert bench.done() == ["f-0", "f-0"]
    assert bench.heard(0, m.FreeKeys) == []


def test_a_chain_of_any_length_is_forgotten_without_recursion() -> None:
    bench = Bench()
    keys = [f"f-{number}" for number in range(5000)]
    bench.submit(*keys, needs={key: [before] for before, key in itertools.pairwise(keys)})
    bench.join(0)
    bench.fail(0, "f-0")
    assert len(bench.heard("ada", m.KeyErred)) == 5000
    bench.release(*keys)
    assert bench.core.state.tasks == {}


# --- cancelling ---


def test_cancelling_takes_what_depends_on_it_along_and_tells_the_client_of_that_only() -> None:
    bench = waiting()
    bench.ask(m.CancelKeys(["f-0"], "cancelled", "by ada"))
    assert bench.heard("ada", m.KeysCancelled) == [m.KeysCancelled(["g-0"], "cancelled", "by ada", let_go=1)]
    assert bench.core.state.tasks == {}
    assert m.FreeKeys(["f-0"]) in bench.heard(0, m.FreeKeys)


def test_a_client_cancels_for_itself_only() -> None:
    bench = processing()
    bench.handle(ClientJoined("bob"))
    bench.submit("f-0", client="bob")
    bench.ask(m.CancelKeys(["f-0"], "cancelled", "by ada"))
    assert bench.state("f-0") == "processing"
    bench.finish(0, "f-0")
    assert (bench.done("ada"), bench.done("bob")) == ([], ["f-0"])


def test_by_force_it_cancels_for_all() -> None:
    bench = processing()
    bench.handle(ClientJoined("bob"))
    bench.submit("f-0", client="bob")
    bench.ask(m.CancelKeys(["f-0"], "enough", "by ada", True))
    assert bench.heard("bob", m.KeysCancelled) == [m.KeysCancelled(["f-0"], "enough", "by ada")]
    assert bench.core.state.tasks == {}


def test_a_restart_cancels_everything_for_everybody() -> None:
    bench = waiting()
    bench.handle(ClientJoined("bob"))
    bench.submit("f-0", client="bob")
    bench.handle(Forget("cluster-restarted", "The cluster was restarted."))
    assert [sorted(message.keys) for message in bench.heard("ada", m.KeysCancelled)] == [["f-0", "g-0"]]
    assert [message.keys for message in bench.heard("bob", m.KeysCancelled)] == [["f-0"]]
    assert bench.core.state.tasks == {}


# --- scattered data ---


def test_scattered_data_waits_for_a_worker() -> None:
    bench = Bench()
    bench.scatter("data-0")
    assert bench.done() == []
    bench.join(0)
    assert [item.key for message in bench.heard(0, m.PutData) for item in message.items] == ["data-0"]
    bench.report(0, m.DataAdded([m.StoredData("data-0", 10)]))
    assert bench.done() == ["data-0"]


def test_broadcast_data_goes_to_every_worker() -> None:
    bench = Bench()
    for name in range(3):
        bench.join(name)
    bench.scatter("data-0", broadcast=True)
    for name in range(3):
        bench.report(name, m.DataAdded([m.StoredData("data-0", 10)]))
    assert len(bench.task("data-0").who_has) == 3
    assert bench.done() == ["data-0"]


def test_scattered_data_goes_to_the_workers_that_are_named() -> None:
    bench = Bench()
    bench.join(0)
    bench.join(1)
    bench.scatter("data-0", "data-1", workers=["fake://1"])
    assert bench.heard(0, m.PutData) == []
    assert len(bench.heard(1, m.PutData)) == 1


def test_data_whose_first_holder_dies_on_the_way_goes_to_another() -> None:
    bench = Bench()
    bench.join(0)
    bench.scatter("data-0")
    bench.join(1)
    bench.leave(0)
    bench.report(1, m.DataAdded([m.StoredData("data-0", 10)]))
    assert bench.done() == ["data-0"]


def test_a_task_may_use_data_that_is_still_on_its_way() -> None:
    bench = Bench()
    bench.join(0)
    bench.scatter("data-0")
    bench.submit("g-0", needs={"g-0": ["data-0"]})
    assert bench.state("g-0") == "waiting"
    bench.report(0, m.DataAdded([m.StoredData("data-0", 10)]))
    assert bench.assigned(0) == ["g-0"]


# --- retiring ---


def test_what_only_a_retiring_worker_holds_is_copied_first() -> None:
    bench = in_memory()
    bench.join(1)
    bench.handle(RetireWorkers([0]))
    [order] = bench.heard(1, m.AcquireReplicas)
    assert [(item.key, item.holders) for item in order.items] == [("f-0", ["fake://0"])]
    assert bench.said[None] == []
    bench.report(1, m.DataAdded([m.StoredData("f-0", 1)]))
    assert [retired.name for retired in bench.said[None]] == [0]
    bench.leave(0)
    assert bench.state("f-0") == "memory"


def test_a_worker_that_runs_nothing_and_holds_nothing_may_go_at_once() -> None:
    bench = Bench()
    bench.join(0)
    bench.handle(RetireWorkers([0]))
    assert [retired.name for retired in bench.said[None]] == [0]


def test_a_retiring_worker_finishes_what_it_has_started() -> None:
    bench = processing()
    bench.handle(RetireWorkers([0]))
    bench.give_back(0)
    assert bench.said[None] == []
    bench.finish(0, "f-0")
    assert [retired.name for retired in bench.said[None]] == [0]


def test_the_garbage_collector_has_nothing_to_look_at_in_pending_tasks() -> None:
    """In a user's process, tasks by the hundred thousand would make each of its full collections longer."""
    task = queued().core.state.tasks["f-0"]
    assert not gc.is_tracked(task)
    assert not any(gc.is_tracked(one) for one in (task.key, task.data, task.dependencies, task.frames))
    assert (task.dependents, task.waiters, task.waiting_on) == (None, None, None)


def test_forgotten_tasks_are_freed_though_the_garbage_collector_does_not_know_them() -> None:
    bench = waiting()
    tasks = list(bench.core.state.tasks.values())
    bench.release("f-0", "g-0")
    assert not bench.core.state.tasks
    assert [sys.getrefcount(task) for task in tasks] == [3, 3]  # the list, the loop, the call


def test_data_that_was_put_for_a_former_meaning_of_its_key_is_no_replica_of_the_present_one() -> None:
    bench = Bench()
    for name in (0, 1):
        bench.join(name)
    bench.scatter("d-0", broadcast=True)
    first = bench.task("d-0").order
    answer = m.DataAdded([m.StoredData("d-0", 10, first)])
    bench.report(0, answer)
    bench.release("d-0")
    bench.scatter("d-0", workers=["0"])
    second = bench.task("d-0").order
    assert second != first
    bench.report(0, m.DataAdded([m.StoredData("d-0", 10, second)]))
    bench.report(1, answer)
    assert set(bench.task("d-0").who_has) == {bench.worker(0)}
    assert bench.heard(1, m.FreeKeys)[-1].keys == ["d-0"], "nobody else would ever tell it to let go"


def test_what_is_put_again_before_the_former_has_been_reported_counts_once_it_is_there() -> None:
    bench = Bench()
    bench.join(0)
    bench.scatter("d-0")
    first = bench.task("d-0").order
    bench.release("d-0")
    bench.scatter("d-0")
    second = bench.task("d-0").order
    bench.report(0, m.DataAdded([m.StoredData("d-0", 10, first)]))
    assert bench.state("d-0") == "released"
    assert bench.heard(0, m.FreeKeys) == []
    bench.report(0, m.DataAdded([m.StoredData("d-0", 10, second)]))
    assert bench.state("d-0") == "memory"
