"""Functions beside tasks, plugins and restarts on a cluster whose scheduler is in a process of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcluster import Client, SchedulerPlugin, SubprocessCluster, WorkerPlugin
from tests.contracts.gates import inc
from tests.support.eventually import eventually


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        SubprocessCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


class Marking(WorkerPlugin):
    name = "marking"

    def setup(self, worker: Any) -> None:
        worker.mark = os.getpid()


class Counting(SchedulerPlugin):
    name = "counting"

    def start(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        scheduler.counted = 0

    def transition(self, key: str, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        self.scheduler.counted += (start, finish) == ("processing", "memory")


def marks(client: Client) -> dict[str, bool]:
    return dict(client.run(lambda dask_worker: getattr(dask_worker, "mark", 0) == os.getpid()))


def test_functions_run_in_all_processes_of_the_cluster(client: Client) -> None:
    pids = set(client.run(os.getpid).values()) | {client.run_on_scheduler(os.getpid)}
    assert len(pids) == 3
    assert os.getpid() not in pids


def test_plugins_come_back_with_workers_that_were_restarted_or_killed(client: Client) -> None:
    client.register_plugin(Marking())
    assert list(marks(client).values()) == [True, True]
    first, second = sorted(client.scheduler_info()["workers"])
    assert client.restart_workers([first]) == {first: "OK"}
    assert list(marks(client).values()) == [True, True]
    pids = client.run(os.getpid)
    os.kill(pids[second], signal.SIGKILL)
    eventually(lambda: second not in client.scheduler_info()["workers"], "the worker that was killed is gone")
    client.wait_for_workers(2, timeout=30)
    assert list(marks(client).values()) == [True, True]
    client.restart()
    assert list(marks(client).values()) == [True, True]
    client.unregister_worker_plugin("marking")


def test_a_plugin_counts_in_the_schedulers_process(client: Client) -> None:
    client.register_plugin(Counting())
    assert client.gather(client.map(inc, range(50))) == list(range(1, 51))
    assert client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.counted) == 50
    client.unregister_scheduler_plugin("counting")


def test_a_worker_that_is_killed_by_a_function_keeps_nobody_waiting(client: Client) -> None:
    doomed = next(iter(client.scheduler_info()["workers"]))
    results = client.run(
        lambda dask_worker: os.kill(os.getpid(), signal.SIGKILL) if dask_worker.address == doomed else "fine",
        on_error="return",
    )
    assert isinstance(results.pop(doomed), OSError)
    assert list(results.values()) == ["fine"]
    client.wait_for_workers(2, timeout=30)


def test_the_scheduler_goes_on_after_whatever_a_function_does_there(client: Client) -> None:
    with pytest.raises(Exception, match="SystemExit"):
        client.run_on_scheduler(lambda: (_ for _ in ()).throw(SystemExit(3)))
    assert client.submit(inc, 1, pure=False).result() == 2


def test_an_uploaded_module_is_removed_with_the_cluster(tmp_path: Path) -> None:
    module = tmp_path / "nbc_temporary.py"
    module.write_text("WHERE = __file__\n")
    with Client(n_workers=1, threads_per_worker=1, dashboard_address=None, set_as_default=False) as client:
        client.upload_file(module)
        [where] = client.run(lambda: __import__("nbc_temporary").WHERE).values()
        assert Path(where).exists()
    assert not Path(where).exists()
