"""What all measures share: fresh arguments, a stopwatch, rounds that take turns."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from tests.benchmarks.figures import Figure, Kind
from tests.benchmarks.systems import System, running

S = TypeVar("S", bound=System)
T = TypeVar("T")

median = statistics.median
_fresh = itertools.count(0, 10_000_000)


def fresh(n: int) -> range:
    """Arguments that no task was ever given: nothing may be answered from a cache."""
    first = next(_fresh)
    return range(first, first + n)


def seconds(function: Callable[..., object], *args: object) -> float:
    """How long one call takes, without what it takes to free its result."""
    start = time.perf_counter()
    result = function(*args)
    elapsed = time.perf_counter() - start
    del result
    return elapsed


def take_turns(systems: Sequence[S], rounds: int, measure: Callable[[S], T]) -> dict[str, list[T]]:
    """One value per system and round; in each round every system has its turn, so that noise hits them alike."""
    values: dict[str, list[T]] = {system.name: [] for system in systems}
    for _ in range(rounds):
        for system in systems:
            values[system.name].append(measure(system))
    return values


def quiet_rounds(systems: Sequence[System], rounds: int, measure: Callable[[System], T]) -> dict[str, list[T]]:
    """The same, with the systems running; distributed has its rounds alone.

    For it works in the client's process even when it is not in use.
    """
    values: dict[str, list[T]] = {}
    for group in (
        [system for system in systems if system.name != "distributed"],
        [system for system in systems if system.name == "distributed"],
    ):
        with running(*group):
            values |= take_turns(group, rounds, measure)
    return values


def figures(kinds: Sequence[Kind], system: System, values: Iterable[float]) -> Iterator[Figure]:
    """One of each kind."""
    for kind, value in zip(kinds, values, strict=True):
        yield Figure(kind, system.name, value)
