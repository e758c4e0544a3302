"""What tests of links are run with: each event loop, each kind of stream; and links that close in good order."""

from __future__ import annotations

import pytest

from nbcluster.comm import stream
from tests.support.links import loop_kind, transport

__all__ = ["loop_kind", "no_linger", "transport"]


@pytest.fixture
def no_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that closes only because the other side took too long fails its test."""
    monkeypatch.setattr(stream, "LINGER", 1000.0)
