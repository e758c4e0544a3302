"""What holds for all tests."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

BROWSER = Path(__file__).parent / "browser"

settings.register_profile("untimed", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order and group tests.

    Browser tests come last: Playwright keeps an event loop running in this thread from the first one on. With
    ``pytest -n 2 --dist loadgroup``, one process runs our own tests, the other those of the peer and of the browser.
    """
    items.sort(key=lambda item: BROWSER in item.path.parents)
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group("browser" if BROWSER in item.path.parents else "own"))


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """To show a failure, pytest parses its source, which fails in older Pythons while another thread does so too.

    See https://github.com/python/cpython/issues/106905.
    """
    try:
        return (yield)
    except SystemError:
        return pytest.TestReport.from_item_and_call(item, call)


@pytest.fixture(scope="module", autouse=True)
def only_new_garbage() -> Iterator[None]:
    """What outlives a module's tests is not looked at again: who collects garbage does not pay for all before."""
    yield
    gc.collect()
    gc.freeze()
