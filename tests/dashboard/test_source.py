from __future__ import annotations

from nbcluster.dashboard.source import Source
from nbcluster.snapshot import PrefixView, TaskCounts, TaskRecord, WorkerView
from nbcluster.types import Status
from tests.support.fake_cluster import make_view, make_worker

GIB = 2**30


def source_of(*workers: WorkerView) -> Source:
    source = Source()
    source.set_view(make_view(list(workers)))
    return source


def test_before_the_first_view_everything_is_empty() -> None:
    source = Source()
    assert source.memory().empty
    assert source.processing().empty
    assert source.progress().empty
    assert source.task_stream().empty
    assert source.summary() == ""


def test_memory_is_shown_with_results_and_limit() -> None:
    source = source_of(
        make_worker(0, memory=GIB // 2, stored=GIB // 4), make_worker(1, memory=GIB, memory_limit=2 * GIB)
    )
    bars = source.memory()
    assert bars.columns["stored"] == [GIB // 4, 0]
    assert bars.columns["limit"] == [GIB, 2 * GIB]
    assert bars.columns["of"] == ["512 MiB of 1 GiB", "1 GiB of 2 GiB"]
    assert bars.labels == ["0", "1"]
    assert bars.texts == ["512 MiB", "1 GiB"]
    assert bars.caption == "1.5 GiB of 3 GiB"
    assert bars.upper == 2 * GIB


def test_a_worker_near_its_limit_is_marked() -> None:
    source = source_of(make_worker(0, memory=int(0.79 * GIB)), make_worker(1, memory=int(0.81 * GIB)))
    assert source.memory().columns["near"] == [0, 1]


def test_a_worker_without_a_limit_has_no_mark_and_is_never_near_it() -> None:
    bars = source_of(make_worker(0, memory=GIB, memory_limit=None)).memory()
    (limit,) = bars.columns["limit"]
    assert limit != limit  # not a number
    assert bars.columns["near"] == [0]
    assert bars.columns["of"] == ["1 GiB"]
    assert bars.caption == "1 GiB"


def test_when_little_is_used_the_bars_are_shown_close_up_and_the_limit_is_written() -> None:
    bars = source_of(make_worker(0, memory=GIB, memory_limit=64 * GIB), make_worker(1, memory=1)).memory()
    assert bars.upper == 4 * GIB
    assert bars.texts == ["1 GiB of 64 GiB", "1 B of 1 GiB"]


def test_results_never_stick_out_of_the_process() -> None:
    assert source_of(make_worker(0, memory=10, stored=20)).memory().columns["memory"] == [20]


def test_processing_tells_running_tasks_from_those_that_wait() -> None:
    bars = source_of(make_worker(0, processing=5, executing=2), make_worker(1)).processing()
    assert bars.columns["executing"] == [2, 0]
    assert bars.columns["waiting"] == [3, 0]
    assert bars.texts == ["5", ""]
    assert bars.caption == "2 running · 3 next"
    assert bars.upper == 5


def test_workers_are_in_the_order_in_which_people_count() -> None:
    source = source_of(make_worker("b"), make_worker(10), make_worker(2), make_worker("a"))
    assert source.memory().labels == ["2", "10", "a", "b"]


def test_an_unusual_state_stands_beside_the_name() -> None:
    source = source_of(make_worker(0, status=Status.PAUSED), make_worker(1))
    assert source.processing().columns["worker"] == ["0 (paused)", "1"]


def test_the_summary_has_the_figures_of_all_workers() -> None:
    source = source_of(make_worker(0, nthreads=2, cpu=150.4), make_worker(1, cpu=20.0))
    assert source.summary() == "2 workers · 3 threads · CPU 170 %"


def test_the_summary_says_so_when_the_cluster_does_not_run() -> None:
    source = Source()
    source.set_view(make_view(1, status=Status.CLOSING))
    assert source.summary().startswith("closing · 1 worker · ")


def test_a_function_has_the_same_colour_in_all_plots_and_for_ever() -> None:
    source = Source(hues=2)
    names = ["load", "fit", "score"]
    source.set_view(make_view(prefixes=[PrefixView(name=name, counts=TaskCounts(done=1)) for name in names]))
    assert source.progress().columns["hue"] == [0, 1, 0]
    run = TaskRecord(key="fit-1", prefix="fit", worker=0, thread=0, start=1, stop=2, status="finished", number=1)
    source.add_records([run])
    assert source.task_stream().columns["hue"] == [1]
    assert source.last_record == 1
