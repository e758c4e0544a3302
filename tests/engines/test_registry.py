from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib import metadata
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from nbcluster.engines import registry
from nbcluster.engines.registry import EngineSpec
from tests.support.fake_engine import FakeEngine


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    registry.unregister("mine")


def test_a_registered_engine_is_found_until_it_is_not() -> None:
    registry.register("mine", FakeEngine)
    assert registry.find("mine") is FakeEngine
    registry.unregister("mine")
    with pytest.raises(ValueError, match="there is no engine 'mine'; there are native"):
        registry.find("mine")


def test_an_installed_engine_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("installed", "tests.support.fake_engine:FakeEngine", registry.GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda group: EntryPoints([entry]).select(group=group))
    assert registry.find("installed").__name__ == "FakeEngine"
    with pytest.raises(ValueError, match="there are installed, native"):
        registry.find("mine")


def test_a_specification_runs_here_unless_it_says_otherwise() -> None:
    async def make() -> FakeEngine:
        return FakeEngine(EngineSpec(id="0" * 16, name="x"))

    engine = asyncio.run(make())
    assert engine.spec.executable
    assert engine.spec.environment
    assert engine.spec.pickled_keywords == b""
