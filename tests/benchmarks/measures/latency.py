"""One task at a time; and a client whose process is busy with something else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.figures import OURS, Bar, Figure, Kind
from tests.benchmarks.measures.base import fresh, median, quiet_rounds, seconds
from tests.benchmarks.systems import System, running
from tests.benchmarks.work import noop

TRIP = Kind("submit().result(), median", "us", "less")
TRIP_P99 = Kind("submit().result(), p99", "us", "less")
TRIP_RATIO = Kind("submit().result() over ProcessPool's, median of rounds", "x", "less", (Bar(1.3),))
TRIP_SPREAD = Kind("submit().result(), p99 over median", "x", "less", (Bar(4),))


def round_trips(systems: list[System], rounds: int = 5, trips: int = 200) -> Iterator[Figure]:
    """``submit().result()``: medians of rounds that take turns after one to warm up, and percentiles of all trips."""
    times = quiet_rounds(systems, rounds + 1, lambda system: _trips(system, trips))
    times = {name: values[1:] for name, values in times.items()}
    pool = times.get("ProcessPool")
    for name, values in times.items():
        middle, p99 = median(map(median, values)), _percentile(values, 0.99)
        yield Figure(TRIP, name, middle * 1e6)
        yield Figure(TRIP_P99, name, p99 * 1e6)
        if name in OURS:
            if pool:
                ratios = [median(mine) / median(its) for mine, its in zip(values, pool, strict=True)]
                yield Figure(TRIP_RATIO, name, median(ratios))
            yield Figure(TRIP_SPREAD, name, p99 / middle)


def _trips(system: System, n: int) -> list[float]:
    return [seconds(lambda a=argument: system.submit(noop, a).result()) for argument in fresh(n)]


def _percentile(rounds: list[list[float]], part: float) -> float:
    every = sorted(time for times in rounds for time in times)
    return every[int(part * len(every))]


BUSY_RATE = Kind("client busy: map + gather of no-ops", "tasks/s", "more")
BUSY_RATIO = Kind("client busy: map + gather, over idle", "x", "more", (Bar(0.7, only="SubprocessCluster"),))
BUSY_TRIP = Kind("client busy: submit().result(), median", "us", "less")
BUSY_P99 = Kind("client busy: submit().result(), p99", "us", "less")


def busy_client(systems: list[System], tasks: int = 10_000, trips: int = 50) -> Iterator[Figure]:
    """The same while a loop in pure Python runs in another thread of the client's process. Fewer tasks for peers.

    What it is over idle is the median of the rounds' ratios, as each round is one of each.
    """
    for system in systems:
        n, rounds = (tasks, 11) if system.name in OURS else (min(tasks, system.most_tasks // 10), 3)
        idle, busy = list[float](), list[float]()
        with running(system):
            for _ in range(rounds):
                idle.append(n / seconds(system.map, noop, fresh(n)))
                with _busy():
                    busy.append(n / seconds(system.map, noop, fresh(n)))
            with _busy():
                times: list[float] = []
                while len(times) < trips or sum(times) < 1.0:
                    times += _trips(system, 10)
        yield Figure(BUSY_RATE, system.name, median(busy))
        yield Figure(BUSY_RATIO, system.name, median(mine / its for mine, its in zip(busy, idle, strict=True)))
        yield Figure(BUSY_TRIP, system.name, median(times) * 1e6)
        yield Figure(BUSY_P99, system.name, _percentile([times], 0.99) * 1e6)


@contextmanager
def _busy() -> Iterator[None]:
    stop = False

    def spin() -> None:
        while not stop:
            for _ in range(1000):
                pass

    thread = threading.Thread(target=spin)
    thread.start()
    time.sleep(0.05)
    try:
        yield
    finally:
        stop = True
        thread.join()
