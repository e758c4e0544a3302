"""Results in memory that the processes of a host share: who has them, and what becomes of news that come late."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nbcluster.protocol import messages as m
from nbcluster.protocol.operating import Replicate
from nbcluster.protocol.payload import Frame, Payload
from tests.support.scheduler_bench import Bench
from tests.support.task_states import erred, in_memory, lineage, processing, queued


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
    assert not bench.core.state.inlined, "and the scheduler does not hold on to it"
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
