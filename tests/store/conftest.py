"""A depot that leaves nothing behind, and processes that share by it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nbcluster.store.depot import Depot
from nbcluster.store.depot_links import LocalDepotLink
from nbcluster.store.shared import SharedStore
from tests.support.open_files import open_files, shared_segments


@pytest.fixture
def depot() -> Iterator[Depot]:
    gc.collect()
    files, shared = open_files(), shared_segments()
    depot = Depot()
    yield depot
    depot.close()
    gc.collect()
    assert open_files() == files
    assert shared_segments() == shared


@pytest.fixture
def stores(depot: Depot) -> Iterator[Callable[..., SharedStore]]:
    """More processes of the cluster; the first one is not the scheduler's."""
    made: list[SharedStore] = []

    def make(**options: Any) -> SharedStore:
        made.append(SharedStore(LocalDepotLink(depot, direct=False), **options))
        return made[-1]

    yield make
    for store in made:
        store.close()
