"""What a cluster costs when it does nothing, and what a task costs that waits."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.benchmarks import footprint
from tests.benchmarks.figures import Bar, Figure, Kind
from tests.benchmarks.measures.base import fresh, median, seconds
from tests.benchmarks.systems import WORKERS, System, clusters, running
from tests.benchmarks.work import noop

IDLE_MEMORY = Kind("idle cluster of 2 workers: memory", "MB", "less", (Bar(60),))
IDLE_CPU = Kind("idle cluster of 2 workers: CPU", "%", "less", (Bar(0.5),))


def idle(systems: list[System], windows: int = 3, window: float = 4.0) -> Iterator[Figure]:
    """Memory (PSS) of all processes but the client's; processor time of all, per second of doing nothing.

    The latter is the median of some windows: what went before may leave something to be done.
    """
    for system in clusters(systems):
        others = footprint.descendants()
        with running(system):
            time.sleep(min(window, 1.0))
            pids = [pid for pid in footprint.descendants() if pid not in others]
            yield Figure(IDLE_MEMORY, system.name, footprint.pss(pids) / 1e6)
            pids.append(footprint.this_process())
            used = []
            for _ in range(windows):
                before, start = footprint.cpu(pids), time.perf_counter()
                time.sleep(window)
                used.append((footprint.cpu(pids) - before) / (time.perf_counter() - start))
            yield Figure(IDLE_CPU, system.name, median(used) * 100)


def pending(systems: list[System], tasks: int = 1_000_000, few: int = 1_000) -> Iterator[Figure]:
    """A scheduler's memory per task that cannot run yet, for there is no worker; then how fast they run.

    Ours only, and with the scheduler in a process of its own: elsewhere its memory cannot be told from the client's.
    """
    growth = Kind(f"scheduler's memory per pending task, at {tasks:,}", "bytes", "less", (Bar(1024),))
    rate = Kind(f"map + gather of {tasks:,} no-ops", "tasks/s", "more")
    even = Kind(f"map + gather of {tasks:,}, over that of {few:,}", "x", "more", (Bar(0.8),))
    for system in clusters(systems, ours=True):
        if system.kind != "SubprocessCluster":
            continue
        with running(system, workers=0):
            scheduler = footprint.named("nbcluster.cluster.process")
            before = footprint.pss(scheduler)
            futures = system.client.map(noop, fresh(tasks))
            while _waiting(system.cluster.view.tasks) < tasks:
                time.sleep(0.05)
            yield Figure(growth, system.name, (footprint.pss(scheduler) - before) / tasks)
            del futures
            system.scale(WORKERS)
            system.map(noop, fresh(few))
            quick = median(few / seconds(system.map, noop, fresh(few)) for _ in range(15))
            yield Figure(rate, system.name, full := tasks / seconds(system.map, noop, fresh(tasks)))
            yield Figure(even, system.name, full / quick)


def _waiting(counts: object) -> int:
    return sum(int(getattr(counts, state)) for state in ("released", "waiting", "queued", "no_worker", "processing"))
