"""Where the time of one task goes: the processor time that each process spends on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.benchmarks import footprint
from tests.benchmarks.figures import Figure, Kind
from tests.benchmarks.measures.base import fresh, seconds
from tests.benchmarks.systems import ClusterSystem, System, clusters, running
from tests.benchmarks.work import noop


def way(systems: list[System], tasks: int = 50_000, trips: int = 1_000) -> Iterator[Figure]:
    """Microseconds per no-op in a big map, and in a round trip, of client, scheduler and workers; means.

    Of SubprocessCluster, for there each has processes of its own.
    """
    for system in clusters(systems, ours=True):
        if system.kind == "SubprocessCluster":
            with running(system):
                yield from _ways(system, tasks, trips)


def _ways(system: ClusterSystem, tasks: int, trips: int) -> Iterator[Figure]:
    parts = {
        "client": [footprint.this_process()],
        "scheduler": footprint.named("nbcluster.cluster.process"),
        "workers": [worker.pid for worker in system.cluster.view.workers],
    }
    system.map(noop, fresh(tasks))
    yield from _shares(system, "no-op of map + gather", parts, tasks, lambda: system.map(noop, fresh(tasks)))

    def take_trips() -> None:
        for argument in fresh(trips):
            system.submit(noop, argument).result()

    yield from _shares(system, "submit().result()", parts, trips, take_trips)


def _shares(
    system: System, what: str, parts: dict[str, list[int]], tasks: int, run: Callable[[], object]
) -> Iterator[Figure]:
    before = {part: footprint.cpu(pids) for part, pids in parts.items()}
    elapsed = seconds(run)
    yield Figure(Kind(f"one {what}: elapsed", "us", "less"), system.name, elapsed / tasks * 1e6)
    for part, pids in parts.items():
        kind = Kind(f"one {what}: processor time of the {part}", "us", "less")
        yield Figure(kind, system.name, (footprint.cpu(pids) - before[part]) / tasks * 1e6)
