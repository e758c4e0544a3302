"""Workers that die while they compute a graph, of which only the outcome is anybody's future."""

from __future__ import annotations

import sys

import dask.array as da
import numpy as np
import pytest

from nbcluster import Client, LocalCluster
from tests.support.eventually import eventually
from tests.support.kill import Killer, kill

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills workers the Linux way")


def test_a_graph_is_computed_although_workers_are_killed_all_the_time(cluster: LocalCluster, client: Client) -> None:
    array = da.arange(90_000, chunks=300).reshape(300, 300).rechunk((30, 30))
    total = (array + array.T).sum()
    expected = int(np.arange(90_000).sum()) * 2
    with Killer(cluster, interval=0.15, limit=4) as killer:
        results = [int(total.compute()) for _ in range(3)]
        eventually(lambda: len(killer.killed) == 4)
    assert results == [expected] * 3


def test_persisted_parts_that_died_with_their_workers_are_computed_again(cluster: LocalCluster, client: Client) -> None:
    kept = (da.arange(400_000, chunks=50_000) + 1).persist()
    assert int(kept.sum().compute()) == 80_000_200_000
    for worker in cluster.workers.values():
        kill(worker.pid)
    assert int(kept.max().compute()) == 400_000
