"""What most tests of faults begin with: a cluster of two worker processes, and its client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nbcluster import Client, LocalCluster


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster) as client:
        yield client
