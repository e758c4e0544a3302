"""The figures: each function measures one, on systems that it starts and stops itself."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.benchmarks.systems import WORKERS, ClusterSystem, PoolSystem, System

TASKS = 10_000
ROUNDS = 5
TRIPS = 200

_fresh = itertools.count(0, 10_000_000)
"""Arguments that no task was ever given: nothing may be answered from a cache."""


class Figure(NamedTuple):
    """One measured value."""

    measure: str
    system: str
    value: float
    unit: str
    better: str
    """``"more"`` or ``"less"``."""


def throughput(systems: list[System], tasks: int = TASKS) -> Iterator[Figure]:
    """No-op tasks per second through map and gather: the median of three, of fewer if it takes long."""
    for system in systems:
        system.start()
        try:
            for pure in (True, False):
                if isinstance(system, PoolSystem) and not pure:
                    continue
                system.map_gather(_arguments(100), pure)
                rates: list[float] = []
                while len(rates) < 3 and sum(tasks / rate for rate in rates) < 5.0:
                    rates.append(tasks / _timed(system.map_gather, _arguments(tasks), pure))
                label = f"map + gather of {tasks:,} no-ops" + ("" if pure else ", pure=False")
                yield Figure(label, system.name, statistics.median(rates), "tasks/s", "more")
        finally:
            system.stop()


def round_trips(systems: list[System]) -> Iterator[Figure]:
    """``submit().result()``: the median of interleaved rounds' medians, and the 99th percentile of all."""
    for system in systems:
        system.start()
    try:
        trips: dict[str, list[list[float]]] = {system.name: [] for system in systems}
        for _ in range(ROUNDS):
            for system in systems:
                arguments = _arguments(TRIPS)
                trips[system.name].append([_timed(system.round_trip, argument) for argument in arguments])
    finally:
        for system in systems:
            system.stop()
    for name, rounds in trips.items():
        medians = [statistics.median(times) for times in rounds]
        every = sorted(time for times in rounds for time in times)
        yield Figure("submit().result(), median", name, statistics.median(medians) * 1e6, "us", "less")
        yield Figure("submit().result(), p99", name, every[int(0.99 * len(every))] * 1e6, "us", "less")


def start_and_stop(systems: list[System]) -> Iterator[Figure]:
    """From nothing (the package imported) to the first result, and the stop; the median of three."""
    for system in systems:
        starts, stops = [], []
        __import__(system.package)
        for _ in range(3):
            starts.append(_timed(system.start) + _timed(system.round_trip, next(_fresh)))
            stops.append(_timed(system.stop))
        yield Figure("start to first result", system.name, statistics.median(starts) * 1e3, "ms", "less")
        yield Figure("stop", system.name, statistics.median(stops) * 1e3, "ms", "less")


def imports(systems: list[System]) -> Iterator[Figure]:
    """``from package import Client, LocalCluster`` in a fresh process, over an empty process; median of five."""
    empty = statistics.median(_process_time("pass") for _ in range(5))
    for system in systems:
        if isinstance(system, ClusterSystem) and system.kind == "LocalCluster":
            code = f"from {system.package} import Client, LocalCluster"
            _process_time(code)
            median = statistics.median(_process_time(code) for _ in range(5))
            yield Figure("import in a fresh process", system.name, (median - empty) * 1e3, "ms", "less")


def growth(systems: list[System]) -> Iterator[Figure]:
    """From ``scale`` to two more workers that have joined; and the memory of an idle cluster before that."""
    for system in systems:
        system.start()
        try:
            system.round_trip(next(_fresh))
            yield Figure("memory of an idle cluster (PSS)", system.name, system.idle_memory() / 2**20, "MiB", "less")
            if isinstance(system, ClusterSystem):
                yield Figure("two more workers", system.name, _timed(system.add_workers, WORKERS) * 1e3, "ms", "less")
        finally:
            system.stop()


def _arguments(n: int) -> range:
    first = next(_fresh)
    return range(first, first + n)


def _timed(function: Callable[..., object], *args: object) -> float:
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def _process_time(code: str) -> float:
    return _timed(subprocess.check_call, [sys.executable, "-c", code])
