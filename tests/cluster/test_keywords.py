from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcluster.cluster import keywords as k
from nbcluster.cluster.idleness import wait_until_idle
from nbcluster.cluster.lifetimes import Lifetimes
from nbcluster.preloading import Preloads, check_preload, load
from nbcluster.snapshot import TaskCounts
from nbcluster.types import WorkerName


def test_scheduler_options() -> None:
    options = k.scheduler_options(
        {"idle_timeout": "2 min", "preload": "json", "allowed_failures": 0, "http_prefix": "/x"}
    )
    assert (options.idle_timeout, options.preload, options.allowed_failures) == (120.0, ["json"], 0)
    assert k.scheduler_options(None) == k.SchedulerOptions()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"idle_timeot": 1}, TypeError, "did you mean 'idle_timeout'"),
        ({"idle_timeout": True}, TypeError, "idle_timeout=True"),
        ({"allowed_failures": -1}, ValueError, "allowed_failures=-1"),
        ({"http_prefix": 5}, TypeError, "http_prefix=5"),
        ({"dashboard": 0}, TypeError, "dashboard=0"),
    ],
)
def test_a_wrong_option_is_named(options: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        k.scheduler_options(options)


def test_lifetimes_belong_together() -> None:
    options = k.worker_options("1h", "5 min", True, 3, None, None)
    assert options.lifetime == k.Lifetime(3600, 300, True)
    assert options.death_timeout == 3
    for stagger, restart in ((1, False), (None, True)):
        with pytest.raises(ValueError, match="without lifetime="):
            k.worker_options(None, stagger, restart, None, None, None)
    with pytest.raises(ValueError, match="less than lifetime="):
        k.worker_options(1, 1, False, None, None, None)


@pytest.mark.parametrize(
    ("worker_class", "processes", "expected"),
    [(None, None, True), (None, False, False), ("distributed.Nanny", None, True), ("Worker", None, False)],
)
def test_processes_or_threads(worker_class: Any, processes: Any, expected: bool) -> None:
    assert k.processes_of(worker_class, processes) is expected


def test_a_clock_rings_once_and_starts_anew_with_each_birth() -> None:
    async def main() -> list[Any]:
        rung: list[Any] = []
        done = asyncio.Event()

        def ring(name: WorkerName) -> None:
            rung.append(name)
            done.set()

        lifetimes = Lifetimes(k.Lifetime(0.01, 0.005), ring)
        lifetimes.born("a")
        lifetimes.born("a")
        lifetimes.born("b")
        lifetimes.ended("b")
        await done.wait()
        lifetimes.close()
        return rung

    assert asyncio.run(main()) == ["a"]


def test_idle_is_when_nothing_has_run_or_ended_for_long_enough() -> None:
    looks: Iterator[TaskCounts] = iter(
        [TaskCounts(processing=1), TaskCounts(queued=1), TaskCounts(no_worker=1), TaskCounts(done=3)]
    )
    seen: list[TaskCounts] = []

    def counts() -> TaskCounts:
        seen.append(next(looks, TaskCounts(done=3)))
        return seen[-1]

    asyncio.run(wait_until_idle(counts, 0.02))
    assert len(seen) > 4


def test_preloads_are_modules_files_and_source(tmp_path: Path) -> None:
    (tmp_path / "ada_loaded.py").write_text("x = 1")
    assert load("json").__name__ == "json"
    assert load(str(tmp_path / "ada_loaded.py")).x == 1
    assert load("x = 2\n").x == 2
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(str(tmp_path / "none.py"))
    assert check_preload("preload", Path("a.py")) == ["a.py"]


def test_preloads_are_set_up_in_order_and_torn_down_in_reverse() -> None:
    setup = "def dask_setup(log, *argv):\n    log.append(({0}, *argv))\n"
    source = setup + "async def dask_teardown(log):\n    log.append(-{0})\n"

    async def main() -> list[Any]:
        log: list[Any] = []
        preloads = Preloads([source.format(1), source.format(2)], ["x"])
        await preloads.start(log)
        await preloads.stop(log)
        await preloads.stop(log)
        return log

    assert asyncio.run(main()) == [(1, "x"), (2, "x"), -2, -1]
