"""An adapting cluster through a burst of work and its end, with real workers."""

from __future__ import annotations

import sys

import pytest

from nbcluster import Client, KilledWorker, LocalCluster
from tests.support.eventually import eventually
from tests.support.tasks import fill_memory, make_bytes, square, square_slowly


@pytest.fixture
def n_workers() -> int:
    return 1


def test_a_burst_brings_workers_and_its_end_takes_them_away(cluster: LocalCluster, client: Client) -> None:
    cluster.adapt(minimum=1, maximum=3, interval=0.05, target_duration=0.5, wait_count=3)
    futures = client.map(square_slowly, range(600))
    eventually(lambda: len(cluster.observed) == 3)
    assert client.gather(futures) == [x * x for x in range(600)]
    eventually(lambda: len(cluster.workers) == 1)
    assert "Adapting from" in cluster.get_logs()["Cluster"]


def test_data_moves_off_a_worker_before_it_goes(cluster: LocalCluster, client: Client) -> None:
    cluster.scale(3)
    cluster.wait_for_workers(3)
    data = client.map(make_bytes, range(30), pure=False)
    client.gather(client.map(len, data))
    cluster.adapt(minimum=1, maximum=3, interval=0.05, wait_count=2)
    eventually(lambda: len(cluster.workers) == 1)
    assert client.gather(data) == [make_bytes(x) for x in range(30)]
    assert cluster.view.tasks.done == 60, "nothing was computed again"


def test_a_cluster_that_shrank_to_nothing_comes_back_for_work(cluster: LocalCluster, client: Client) -> None:
    cluster.adapt(minimum=0, maximum=2, interval=0.05, wait_count=2)
    eventually(lambda: not cluster.workers)
    assert client.submit(square, 9).result(timeout=20) == 81


def test_scaling_by_hand_ends_adapting(cluster: LocalCluster, client: Client) -> None:
    cluster.adapt(minimum=2, maximum=2, interval=0.05)
    eventually(lambda: len(cluster.observed) == 2)
    cluster.scale(3)
    cluster.wait_for_workers(3)
    assert cluster.view.adaptive is None


@pytest.mark.skipif(sys.platform != "linux", reason="tells memory by /proc")
def test_a_task_that_fills_the_memory_is_ended_alone_and_told_why() -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="300MiB", dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        innocent = client.map(square_slowly, range(100))
        with pytest.raises(KilledWorker, match=r"was killed at [\d.]+ MiB of its limit of 300\.00 MiB"):
            client.submit(fill_memory).result(timeout=30)
        assert client.gather(innocent) == [x * x for x in range(100)]
