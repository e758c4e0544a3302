"""Shares of a memory limit."""

from __future__ import annotations

from typing import Any

import pytest

from nbcluster.cluster.fractions import MemoryFractions, memory_fractions


def test_each_is_a_share_or_false_for_never() -> None:
    assert memory_fractions(1, 0.5, False, 0.25) == MemoryFractions(1.0, 0.5, None, 0.25)


@pytest.mark.parametrize("value", [0, -0.1, 1.1, float("nan"), float("inf"), True, None, "0.5"])
@pytest.mark.parametrize("place", range(4))
def test_what_is_no_share_is_refused_by_its_name(place: int, value: Any) -> None:
    name = ("target", "spill", "pause", "terminate")[place]
    given: list[Any] = [0.5] * 4
    given[place] = value
    with pytest.raises((TypeError, ValueError), match=f"^memory_{name}_fraction=.*; give a share of memory_limit"):
        memory_fractions(*given)
