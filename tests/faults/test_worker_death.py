"""Workers that die: rows 1 to 3 of the table of faults, on a real cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from nbcluster import Client, KilledWorker, LocalCluster
from nbcluster.types import Status
from tests.support.eventually import eventually
from tests.support.kill import Killer, kill, seconds
from tests.support.tasks import crash, segfault, square, square_slowly

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tells deaths by the Linux way of dying")


def test_to_kill_a_worker_that_is_being_replaced_ends_nobody() -> None:
    script = "from tests.support.kill import kill; kill(None); print('alive')"
    ended = subprocess.run([sys.executable, "-c", script], start_new_session=True, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, b"alive\n")


def test_no_result_is_lost_when_workers_are_killed_at_any_moment(cluster: LocalCluster, client: Client) -> None:
    with Killer(cluster, interval=0.15, limit=6) as killer:
        results = client.gather(client.map(square_slowly, range(400)))
        eventually(lambda: len(killer.killed) == 6)
    assert results == [x * x for x in range(400)]


def test_results_that_died_with_a_worker_are_computed_again(cluster: LocalCluster, client: Client) -> None:
    large = client.map(lambda x: bytes([x]) * 200_000, range(20))
    client.gather(client.map(len, large))
    for worker in cluster.workers.values():
        kill(worker.pid)
    assert [data[0] for data in client.gather(large)] == list(range(20))


@pytest.mark.slow
@pytest.mark.parametrize(("function", "count"), [(square_slowly, 2_000), (square, 100_000)])
def test_random_kills_lose_nothing_and_cost_little(
    cluster: LocalCluster, client: Client, function: Callable[[int], int], count: int
) -> None:
    def work() -> None:
        assert client.gather(client.map(function, range(count), pure=False)) == expected

    expected = [x * x for x in range(count)]
    calm = min(seconds(work) for _ in range(2))
    with Killer(cluster, interval=2.0) as killer:
        times = []
        while len(killer.killed) < 4:
            times.append(seconds(work))
    assert sum(times) / len(times) < 2 * calm + 0.5


@pytest.mark.slow
def test_a_worker_that_was_killed_is_replaced_within_a_second(cluster: LocalCluster, client: Client) -> None:
    def replaced() -> bool:
        worker = cluster.workers[0]
        return worker.pid not in (0, pid) and bool(worker.address)

    times = []
    for _ in range(20):
        pid = cluster.workers[0].pid
        kill(pid)
        times.append(seconds(lambda: eventually(replaced)))
        time.sleep(2)
    assert max(times) < 1


def at_full_strength(cluster: LocalCluster) -> bool:
    return [w.status for w in cluster.workers.values()] == [Status.RUNNING] * 2


def test_a_crash_loop_is_visible_and_over_soon_after_its_end(cluster: LocalCluster, client: Client) -> None:
    seen: set[Status] = set()

    def kill_all() -> bool:
        for worker in cluster.workers.values():
            seen.add(worker.status)
            if worker.pid and worker.address:
                kill(worker.pid)
        return Status.BROKEN in seen

    eventually(kill_all)
    assert sorted(cluster.workers) == [0, 1]
    eventually(lambda: at_full_strength(cluster))
    assert client.submit(square, 7).result() == 49
    assert max(w.restarts for w in cluster.workers.values()) > 5
    assert all("SIGKILL" in w.last_exit for w in cluster.workers.values())


@pytest.mark.slow
def test_full_strength_returns_within_five_seconds_of_a_long_crash_loop(cluster: LocalCluster, client: Client) -> None:
    for _ in range(30):
        for worker in cluster.workers.values():
            if worker.pid:
                kill(worker.pid)
        time.sleep(1)
    assert sorted(cluster.workers) == [0, 1]
    eventually(lambda: at_full_strength(cluster), timeout=5)
    assert client.submit(square, 7).result() == 49


def test_a_segfault_is_blamed_on_its_task_and_on_no_other(client: Client) -> None:
    innocent = client.map(square_slowly, range(100))
    guilty = client.submit(segfault)
    error = guilty.exception(timeout=20)
    assert isinstance(error, KilledWorker)
    assert error.task == guilty.key
    assert "was killed by SIGSEGV (segmentation fault)" in str(error)
    assert "Segmentation fault" in error.log, "the traceback of faulthandler is in the last words"
    assert client.gather(innocent) == [x * x for x in range(100)]


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGKILL, "was killed by SIGKILL"), (signal.SIGABRT, "was killed by SIGABRT")]
)
def test_how_a_worker_died_reaches_whoever_waits_for_its_task(client: Client, number: int, said: str) -> None:
    with pytest.raises(KilledWorker, match=said):
        client.submit(crash, number).result(timeout=20)
    assert client.submit(square, 3).result(timeout=20) == 9


def test_what_a_worker_printed_last_is_in_the_error_and_in_the_log(cluster: LocalCluster, client: Client) -> None:
    def talk_and_die() -> None:
        print("something looks wrong")
        os._exit(5)

    with pytest.raises(KilledWorker, match="something looks wrong") as caught:
        client.submit(talk_and_die).result(timeout=20)
    assert "exited with code 5" in str(caught.value)
    assert any("something looks wrong" in log for log in cluster.get_logs().values())
