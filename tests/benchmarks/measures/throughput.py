"""Many tasks at once."""

from __future__ import annotations

import importlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from tests.benchmarks.figures import OURS, Bar, Figure, Kind
from tests.benchmarks.measures.base import fresh, median, quiet_rounds, seconds
from tests.benchmarks.systems import PoolSystem, System, clusters, running
from tests.benchmarks.work import NAP, add, nap, noop

SIZES = (1_000, 5_000, 10_000, 50_000, 200_000)
_TURNS = 8
Case = tuple[int, bool]
"""How many tasks, and whether they are pure."""
_fill = count(1)


def throughput(systems: list[System], sizes: Sequence[int] = SIZES, enough: float = 0.8) -> Iterator[Figure]:
    """No-op tasks per second through map and gather, with fresh arguments: the median of many rounds.

    Sizes take turns, for they are held against each other. In a turn, rounds follow upon each other, so that each pays
    for letting go of the results of the one before; the first is not counted, and before it nothing is left of other
    sizes. Peers are measured up to the size that takes them some seconds; above, our figure is held against that one.
    """
    for system in systems:
        own_sizes = [n for n in sizes if n <= max(system.most_tasks, sizes[0])]
        kinds = (True,) if isinstance(system, PoolSystem) else (True, False)
        with running(system):
            system.map(noop, fresh(100))
            rates = _rates(system, [(n, pure) for pure in kinds for n in own_sizes], enough)
        for pure in kinds:
            for n in own_sizes:
                yield Figure(_map_gather(n, pure, sizes), system.name, rates[n, pure])
            if system.name in OURS:
                of_kind = [rates[n, pure] for n in own_sizes]
                yield Figure(_EVEN[pure], system.name, min(of_kind) / max(of_kind))


def _label(n: int, pure: bool) -> str:
    return f"map + gather of {n:,} no-ops" + ("" if pure else ", pure=False")


def _map_gather(n: int, pure: bool, sizes: Sequence[int]) -> Kind:
    """Pools know no ``pure``."""
    clusters_up_to = max((size for size in sizes if size <= 5_000), default=sizes[0])
    pools_up_to = max((size for size in sizes if size <= 10_000), default=sizes[0])
    bars = (
        Bar(60, "distributed", row=_label(min(n, clusters_up_to), pure)),
        Bar(3, "ProcessPool", row=_label(min(n, pools_up_to), True)),
    )
    return Kind(_label(n, pure), "tasks/s", "more", bars)


_EVEN = {
    pure: Kind("map + gather, slowest size over fastest" + ("" if pure else ", pure=False"), "x", "more", (Bar(0.8),))
    for pure in (True, False)
}


def _rates(system: System, cases: list[Case], enough: float) -> dict[Case, float]:
    """By case. Each takes twice ``enough`` seconds in all of its turns together; peers stop at ten times it."""
    times: dict[Case, list[float]] = {case: [] for case in cases}
    turns = list(_turns(cases))
    left = Counter(turns)
    for case in turns:
        left[case] -= 1
        taken, (tasks, pure) = times[case], case
        more = system.name in OURS or sum(taken) < 10 * enough
        if more:
            while not system.is_at_rest():
                time.sleep(0.2)  # a client that is asked often lets go of little in between
            system.map(noop, fresh(tasks), pure)
        while more:
            taken.append(seconds(system.map, noop, fresh(tasks), pure))
            more = sum(taken) < 2 * enough * (1 - left[case] / turns.count(case))
    return {case: case[0] / median(taken) for case, taken in times.items()}


def _turns(cases: Sequence[Case]) -> Iterator[Case]:
    """Who has its turn after whom: the largest eight times, and before each of these all that are smaller.

    Machines are faster and slower for seconds. What the largest takes averages that; others are met at more moments.
    """
    most = max(tasks for tasks, _ in cases)
    smaller = [case for case in cases if case[0] < most]
    for largest in _TURNS * [case for case in cases if case[0] == most]:
        yield from smaller
        yield largest


SUBMITS = Kind("loop of submit, then gather", "tasks/s", "more", (Bar(2, "ProcessPool"),))


def submits(systems: list[System], tasks: int = 5_000) -> Iterator[Figure]:
    """``submit`` in a loop, then all results; the median of three rounds. A fifth as many tasks for distributed."""

    def rate(system: System) -> float:
        arguments = fresh(tasks if system.most_tasks > 5_000 else tasks // 5)
        return len(arguments) / seconds(lambda: system.gather([system.submit(noop, a) for a in arguments]))

    for name, rates in quiet_rounds(systems, 3, rate).items():
        yield Figure(SUBMITS, name, median(rates))


def tree(systems: list[System], depth: int = 13) -> Iterator[Figure]:
    """Sums of neighbours, down to one: tasks that depend on two others each, but for the first 2^12."""
    tasks = 2**depth - 1
    kind = Kind(f"tree reduction of {tasks:,} tasks", "tasks/s", "more", (Bar(30, "distributed"),))

    def reduce(client: Any, leaves: range) -> None:
        level = client.map(noop, leaves)
        while len(level) > 1:
            level = client.map(add, level[::2], level[1::2])
        if level[0].result() != sum(leaves):
            raise ValueError("the sum of all leaves is wrong")

    for system in clusters(systems):
        with running(system):
            times: list[float] = []
            while len(times) < 3 and sum(times) < 5.0:
                times.append(seconds(reduce, system.client, fresh(2 ** (depth - 1))))
        yield Figure(kind, system.name, tasks / median(times))


def sleeps(systems: list[System], tasks: int = 200) -> Iterator[Figure]:
    """Tasks of 10 ms each on two threads, over the time that the sleeping alone takes; the median of three."""
    kind = Kind(f"{tasks} sleeps of 10 ms on 2 threads, over the ideal", "x", "less", (Bar(1.04),))
    times = quiet_rounds(systems, 3, lambda system: seconds(system.map, nap, fresh(tasks), False))
    for name, values in times.items():
        yield Figure(kind, name, median(values) / (tasks * NAP / 2))


def graph(systems: list[System], blocks: int = 22) -> Iterator[Figure]:
    """A graph of dask.array, ``client.get`` as its scheduler: optimising it, running it and fetching the result."""
    dask: Any = importlib.import_module("dask")
    full: Any = importlib.import_module("dask.array").full

    def collection() -> Any:
        x = full((10 * blocks, 10 * blocks), float(next(_fill)), chunks=(10, 10))
        return (x + x.T - x.mean()).std()

    def compute(client: Any) -> None:
        if dask.compute(collection(), scheduler=client.get) != (0.0,):
            raise ValueError("the standard deviation of equal numbers is not 0")

    tasks = len(dict(dask.optimize(collection())[0].__dask_graph__()))
    kind = Kind(f"dask.array graph of {tasks:,} tasks", "ms", "less", (Bar(1 / 8, "distributed"),))
    for system in clusters(systems):
        with running(system):
            times = [seconds(compute, system.client) for _ in range(8 if system.ours else 4)]
        yield Figure(kind, system.name, median(times[1:]) * 1e3)
