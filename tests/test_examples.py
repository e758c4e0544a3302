"""The examples in the documentation of the code are what happens."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nbcluster
from nbcluster import Client, LocalCluster
from tests.support.eventually import eventually

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def modules() -> list[str]:
    """Those that have examples."""
    root = Path(nbcluster.__file__).parent
    found = [module.name for module in pkgutil.walk_packages([str(root)], "nbcluster.")]
    return [name for name in found if ">>> " in _source(root, name)]


def _source(root: Path, name: str) -> str:
    path = root.parent.joinpath(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file.read_text(encoding="utf-8")


def examples() -> list[doctest.DocTest]:
    """One for each docstring that has some."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in modules() for test in finder.find(importlib.import_module(name), name)]
    return sorted((test for test in found if test.examples), key=lambda test: test.name)


BY_THEMSELVES = {
    "BaseActorFuture": "the interface of ActorFuture",
    "CancelledError": "what its kinds have in common",
    "FuturesCancelledError": "of asynchronous clients: several of FutureCancelledError",
    "Status": "names",
    "TimeoutError": "Python's own",
}
"""Public names that need no example, and why."""


def test_every_public_name_is_documented_and_has_an_example() -> None:
    missing = []
    for name in nbcluster.__all__:
        text = inspect.getdoc(getattr(nbcluster, name)) or ""
        if not text or ("Example:" not in text and name not in BY_THEMSELVES):
            missing.append(name)
    assert missing == []
    assert set(BY_THEMSELVES) <= set(nbcluster.__all__)


@pytest.fixture(scope="module")
def world() -> Iterator[dict[str, Any]]:
    """What examples take for granted: all public names, a cluster of two workers, and a client of it."""
    public = {name: getattr(nbcluster, name) for name in nbcluster.__all__}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield {**public, "cluster": cluster, "client": client}


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name.removeprefix("nbcluster."))
def test_an_example_does_what_it_says(
    example: doctest.DocTest, world: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    example.globs = {**example.globs, **world}
    said: list[str] = []
    try:
        result = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False).run(example, out=said.append)
    finally:
        cluster = world["cluster"]
        cluster.scale(2)
        eventually(lambda: len(cluster.workers) == 2)
    assert result.failed == 0, "".join(said)
