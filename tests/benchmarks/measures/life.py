"""Starting, growing, joining, stopping."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import chain

from tests.benchmarks.figures import Bar, Figure, Kind
from tests.benchmarks.measures.base import fresh, median, seconds, take_turns
from tests.benchmarks.systems import WORKERS, ClusterSystem, System, clusters, running
from tests.benchmarks.work import noop

START = Kind("start to first result", "ms", "less", (Bar(1 / 3, "distributed"),))
STOP = Kind("stop", "ms", "less", (Bar(1 / 2, "distributed"),))


def start_and_stop(systems: list[System], rounds: int = 3) -> Iterator[Figure]:
    """From nothing (the package imported) to the first result, and the stop; medians of rounds that take turns."""
    stops: dict[str, list[float]] = {system.name: [] for system in systems}
    for system in systems:
        importlib.import_module(system.package)

    def measure(system: System) -> float:
        start = seconds(system.start) + seconds(lambda: system.submit(noop, fresh(1)[0]).result())
        stops[system.name].append(seconds(system.stop))
        return start

    starts = take_turns(systems, rounds, measure)
    for system in systems:
        yield Figure(START, system.name, median(starts[system.name]) * 1e3)
        yield Figure(STOP, system.name, median(stops[system.name]) * 1e3)


IMPORT = Kind("import in a fresh process", "ms", "less", (Bar(1 / 4, "distributed"),))


def imports(systems: list[System], rounds: int = 5) -> Iterator[Figure]:
    """``from package import Client, LocalCluster`` in a fresh process, over an empty one; medians of turns."""
    packages = [system for system in clusters(systems) if system.kind == "LocalCluster"]

    def measure(system: ClusterSystem) -> float:
        return _process(f"from {system.package} import Client, LocalCluster") - _process("pass")

    take_turns(packages, 1, measure)
    for name, times in take_turns(packages, rounds, measure).items():
        yield Figure(IMPORT, name, median(times) * 1e3)


def _process(code: str) -> float:
    return seconds(subprocess.check_call, [sys.executable, "-c", code])


TWO_MORE = Kind("two more workers", "ms", "less", (Bar(1 / 12, "distributed"),))


def growth(systems: list[System], rounds: int = 3, many: int = 32) -> Iterator[Figure]:
    """From ``scale`` until the new workers have joined; medians. Many more workers: ours only."""

    def measure(system: ClusterSystem, more: int) -> float:
        with running(system):
            return seconds(system.scale, WORKERS + more)

    for name, times in take_turns(clusters(systems), rounds, lambda system: measure(system, 2)).items():
        yield Figure(TWO_MORE, name, median(times) * 1e3)
    kind = Kind(f"{many} more workers", "ms", "less", (Bar(1000),))
    for name, times in take_turns(clusters(systems, ours=True), rounds, lambda s: measure(s, many)).items():
        yield Figure(kind, name, median(times) * 1e3)


SECOND_CLIENT = Kind("a second client connects", "ms", "less", (Bar(1 / 4, "distributed"),))


def second_client(systems: list[System], rounds: int = 5, clients: int = 10) -> Iterator[Figure]:
    """``Client(cluster)`` beside one that is there: median over rounds that take turns, without the first of each."""

    def connects(system: ClusterSystem) -> float:
        start = time.perf_counter()
        client = system.module.Client(system.cluster)
        elapsed = time.perf_counter() - start
        client.close()
        return elapsed

    def measure(system: ClusterSystem) -> list[float]:
        with running(system):
            return [connects(system) for _ in range(clients + 5)][5:]

    for name, times in take_turns(clusters(systems), rounds, measure).items():
        yield Figure(SECOND_CLIENT, name, median(chain.from_iterable(times)) * 1e3)
