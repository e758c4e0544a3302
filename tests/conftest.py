"""What holds for all tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

BROWSER = Path(__file__).parent / "browser"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright keeps an event loop running in this thread from the first one on."""
    items.sort(key=lambda item: BROWSER in item.path.parents)


@pytest.fixture(scope="module", autouse=True)
def only_new_garbage() -> Iterator[None]:
    """What outlives a module's tests is not looked at again: who collects garbage does not pay for all before."""
    yield
    gc.collect()
    gc.freeze()
