"""A depot that leaves nothing behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from nbcluster.store.depot import Depot
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
