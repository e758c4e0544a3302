"""How often each thing is there."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def tally(things: Iterable[T]) -> dict[T, int]:
    """Count equal things. To make a ``Counter`` takes longer than to count the few that there mostly are.

    Example:
        >>> tally("abba")
        {'a': 2, 'b': 2}
    """
    counts: dict[T, int] = {}
    for thing in things:
        counts[thing] = counts.get(thing, 0) + 1
    return counts
