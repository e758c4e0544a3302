"""A cluster of worker processes of a test's own, and its client: fixtures that a ``conftest.py`` imports by name.

A module that wants another number of workers has its own fixture ``n_workers``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from nbcluster import Client, LocalCluster
from nbcluster.store.depot import Depot


@pytest.fixture
def n_workers() -> int:
    return 2


@pytest.fixture
def cluster(n_workers: int) -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster) as client:
        yield client


def depot_of(cluster: Any) -> Depot:
    """What knows of the shared memory of a cluster in this process."""
    depot = cluster._engine._runtime.depot
    assert isinstance(depot, Depot)
    return depot
