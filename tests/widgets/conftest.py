"""A cluster for cards: a fake engine on the test's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from ipywidgets.widgets.widget import Widget  # type: ignore[import-untyped]

from nbcluster.commands import AnyCommand
from nbcluster.engines.registry import EngineSpec
from nbcluster.widgets import card, logs, remote
from nbcluster.widgets.card import Card, card_of
from tests.support.fake_engine import FakeEngine

ID = "0123456789abcdef"


class Scene:
    """A cluster and its card."""

    def __init__(self, engine: FakeEngine, card: Card) -> None:
        self.engine = engine
        self.card = card

    @property
    def commands(self) -> list[AnyCommand]:
        """What the cluster was asked to do."""
        return self.engine.commands

    def html(self) -> str:
        """All the HTML that can be seen in the card now."""
        return "\n".join(_visible(self.card.widget))


def _visible(widget: Any) -> list[str]:
    if widget.layout.display == "none":
        return []
    if type(widget).__name__ == "Tab":
        children = [] if widget.selected_index is None else [widget.children[widget.selected_index]]
    else:
        children = getattr(widget, "children", [])
    own = [widget.value] if type(widget).__name__ == "HTML" else []
    return own + [html for child in children for html in _visible(child)]


def make_engine(name: str = "analysis", **keywords: Any) -> FakeEngine:
    return FakeEngine(EngineSpec(id=ID, name=name, keywords=keywords))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views are drawn, and logs read, more often than people want it."""
    monkeypatch.setattr(logs, "INTERVAL", 0.01)
    monkeypatch.setattr(remote, "INTERVAL", 0.01)


@pytest.fixture
def on_stage() -> Callable[[Callable[[Scene], Coroutine[Any, Any, None]]], None]:
    """Call it with a test's coroutine function: it runs with a running cluster and its card."""

    def run(play: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            engine = make_engine()
            await engine.start()
            scene = Scene(engine, card_of(engine, asyncio.get_running_loop()))
            await asyncio.sleep(0)
            try:
                await play(scene)
            finally:
                card._cards.clear()
                Widget.close_all()

        asyncio.run(main())

    return run
