"""What tests of links are run with: each event loop, each kind of stream."""

from __future__ import annotations

from tests.support.links import loop_kind, transport

__all__ = ["loop_kind", "transport"]
