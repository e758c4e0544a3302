"""One suite for the public API, run against nbcluster and against its peer, dask.distributed.

A test that the peer fails is a wrong test, unless ``differences.py`` lists what it is about: then it carries the marker
``differs`` and runs on nbcluster only. The shared cluster of a module has two workers of one thread: threads of this
process, and what needs no more than the shared cluster runs on our worker processes as well.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.differences import DIFFERENCES
from tests.contracts.gates import Gate

US, PROCESSES, PEER = "nbcluster", "nbcluster-processes", "distributed"

QUIET: dict[str, dict[str, Any]] = {
    US: {"dashboard_address": None},
    PROCESSES: {"dashboard_address": None, "processes": True},
    # The peer listens even without a dashboard; on loopback at least, and without importing Bokeh.
    PEER: {
        "dashboard_address": "127.0.0.1:0",
        "scheduler_kwargs": {"dashboard": False},
        "silence_logs": logging.CRITICAL,
    },
}
SMALL = {"n_workers": 2, "threads_per_worker": 1, "processes": False}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "differs(name): the peer decides otherwise; `name` is in differences.py")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "package" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("differs")
    if marker is not None:
        assert marker.args[0] in DIFFERENCES, f"{metafunc.definition.nodeid}: {marker.args[0]!r} is not listed"
    columns = [US]
    asked_for = inspect.signature(metafunc.function).parameters
    if "client" in asked_for and not {"keywords", "own"} & set(asked_for):
        columns.append(PROCESSES)
    if marker is None:
        columns.append(PEER)
    metafunc.parametrize("package", columns, indirect=True, scope="module")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and callspec.params.get("package") == PEER:
            item.add_marker(pytest.mark.xdist_group("peer"))
            item.add_marker(pytest.mark.filterwarnings("ignore"))
            # A test has to hold on the peer, but where the peer holds only mostly, it is given a second chance.
            item.add_marker(pytest.mark.flaky(reruns=2))
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(60, func_only=True))  # each chance has that long


@pytest.fixture(scope="module")
def package(request: pytest.FixtureRequest) -> Iterator[str]:
    """The package under test, and how it is used."""
    yield request.param
    if request.param == PEER:
        peer = importlib.import_module(PEER)
        with pytest.raises(ValueError, match="as_current"):  # two default clients may end in the wrong order
            peer.Client.current(allow_global=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()  # what the peer leaves unclosed must not be found during somebody else's test


@pytest.fixture(scope="module")
def api(package: str) -> Any:
    """The package under test."""
    return importlib.import_module(package.partition("-")[0])


@pytest.fixture(scope="module")
def keywords(package: str) -> Callable[..., dict[str, Any]]:
    """Keywords of a small, quiet cluster of threads; others may be added or replaced."""
    return lambda **others: {**SMALL, **QUIET[package], **others}


@pytest.fixture(scope="module")
def cluster(api: Any, keywords: Callable[..., dict[str, Any]]) -> Iterator[Any]:
    """A module's cluster."""
    with api.LocalCluster(**keywords(resources={"GPU": 1})) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(api: Any, cluster: Any) -> Iterator[Any]:
    """A module's client: the default one while a test runs."""
    with api.Client(cluster) as client:
        yield client


@pytest.fixture
def own(api: Any, keywords: Callable[..., dict[str, Any]]) -> Iterator[Callable[..., Any]]:
    """Makes clusters of one worker, unless the test says otherwise, and closes them when it is over."""
    made: list[Any] = []

    def make(**others: Any) -> Any:
        made.append(api.LocalCluster(**keywords(**{"n_workers": 1, **others})))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Something that tasks wait for; it opens at the latest when the test is over."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()
