"""Every transition of a task, how it comes about and what it does; then what is worth a story of its own."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import pytest

from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Payload
from nbcluster.scheduler.events import ClientJoined, RetireWorkers
from nbcluster.scheduler.state import STATE_NAMES
from tests.support.scheduler_bench import ALLOWED, Bench
from tests.support.task_states import (
    erred,
    in_memory,
    lineage,
    on_its_way,
    processing,
    queued,
    queued_behind_a_result,
    queued_behind_data,
    return_unrun,
    running_on_a_result,
    scattered,
    waiting,
)

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


def test_a_run_that_is_reported_twice_counts_once() -> None:
    bench = processing()
    done = m.TaskDone("f-0", bench.run_id(0, "f-0"), 1, "int", 0, 0.0, 1.0, Payload(b"x"))
    bench.report(0, m.TasksDone([done, done]))
    bench.report(0, m.TasksDone([done]))
    assert bench.done() == ["f-0"]
    assert bench.core.state.prefixes["f"].done == 1
    assert not bench.heard(0, m.FreeKeys)


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


def with_lineage() -> Bench:
    """Worker 0 has data that a result was made of."""
    bench = Bench()
    bench.join(0)
    bench.scatter("d-0")
    bench.report(0, there(bench, "d-0"))
    bench.submit("g-0", needs={"g-0": ["d-0"]})
    bench.finish(0, "g-0")
    return bench


def freed_while_it_is_put_there_again() -> Bench:
    """The data is let go of: worker 0 is about to say that it has it again, and to be told to drop it."""
    bench = with_lineage()
    bench.scatter("d-0", broadcast=True)
    bench.release("d-0")
    assert bench.heard(0, m.FreeKeys)[-1].keys == ["d-0"]
    return bench


def there(bench: Bench, key: str) -> m.DataAdded:
    """What a worker says of data that was scattered to it."""
    return m.DataAdded([m.StoredData(key, 10, bench.task(key).order)])


def test_what_is_freed_while_it_is_put_there_again_is_not_there() -> None:
    bench = freed_while_it_is_put_there_again()
    bench.report(0, there(bench, "d-0"))
    assert bench.state("d-0") == "released"
    assert not bench.core.state.scattering, "nobody needs it, and nobody has it"


def test_what_is_wanted_again_after_it_was_freed_on_its_way_is_put_there_anew() -> None:
    bench = freed_while_it_is_put_there_again()
    bench.ask(m.WantKeys(["d-0"]))
    bench.report(0, there(bench, "d-0"))
    assert bench.state("d-0") == "released"
    bench.report(0, there(bench, "d-0"))
    assert bench.state("d-0") == "memory"
    assert bench.done()[-1] == "d-0"
    assert set(bench.task("d-0").who_has) == {bench.worker(0)}


def test_what_is_freed_on_its_way_to_one_worker_is_still_to_come_to_the_other() -> None:
    bench = with_lineage()
    bench.join(1)
    bench.scatter("d-0", broadcast=True)
    bench.release("d-0")
    bench.ask(m.WantKeys(["d-0"]))
    bench.report(0, there(bench, "d-0"))
    bench.report(1, there(bench, "d-0"))
    assert set(bench.task("d-0").who_has) == {bench.worker(1)}
    assert bench.done()[-1] == "d-0"
