"""What an engine in a notebook asks of the Jupyter server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nbcluster.client.cells import told_of_interrupt
from nbcluster.engines.attached import AttachedEngine
from nbcluster.errors import CommError
from nbcluster.jupyter import discovery


def test_it_wants_to_be_told_when_the_kernel_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    async def attach(endpoint: object, **wanted: Any) -> None:
        asked.update(wanted)
        raise CommError("nobody there")

    monkeypatch.setattr(discovery, "attach", attach)
    engine = AttachedEngine(object(), "cell-1", {"n_workers": 2, "name": None})
    with pytest.raises(CommError, match="nobody there"):
        asyncio.run(engine.start())
    assert asked["on_interrupt"] is told_of_interrupt
    assert (asked["cell"], asked["name"]) == ("cell-1", None)
