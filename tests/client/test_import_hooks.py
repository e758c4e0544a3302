"""Doing something when a module is imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from nbcluster.client.import_hooks import WhenImported


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module that nobody has imported yet."""
    name = f"watched_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text("value = 5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


def test_it_is_called_when_the_module_is_complete(module: str) -> None:
    found: list[int] = []
    WhenImported(module, lambda imported: found.append(imported.value))
    assert found == []
    importlib.import_module(module)
    assert found == [5]


def test_it_is_called_at_once_if_the_module_is_there(module: str) -> None:
    imported = importlib.import_module(module)
    found: list[ModuleType] = []
    WhenImported(module, found.append)
    assert found == [imported]


def test_it_leaves_the_importers_as_they_were(module: str) -> None:
    before = list(sys.meta_path)
    WhenImported(module, lambda _: None)
    importlib.import_module(module)
    assert sys.meta_path == before


def test_what_is_cancelled_is_never_called(module: str) -> None:
    before = list(sys.meta_path)
    found: list[ModuleType] = []
    waiting = WhenImported(module, found.append)
    waiting.cancel()
    waiting.cancel()
    importlib.import_module(module)
    assert found == []
    assert sys.meta_path == before


def test_a_module_that_cannot_be_imported_is_no_matter() -> None:
    before = list(sys.meta_path)
    WhenImported("no_such_module_anywhere", lambda _: None)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module_anywhere")
    assert sys.meta_path == before
