"""Big arrays: to the client, to another worker, to all, and along a chain."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

from tests.benchmarks import arrays, footprint
from tests.benchmarks.arrays import MIB
from tests.benchmarks.figures import Bar, Figure, Kind
from tests.benchmarks.measures.base import figures, median, seconds, take_turns
from tests.benchmarks.systems import ClusterSystem, System, clusters, running

_content = count(1)


def to_client(systems: list[System], mib: int = 256, rounds: int = 3) -> Iterator[Figure]:
    """A worker's array to its client: the first time, again, and to a second client; medians.

    The second client asks for the same pure task: the key is the same, and so is the result.
    """
    label = f"{mib} MiB result to the client"
    kinds = [
        Kind(label, "GB/s", "more", (Bar(3, "distributed"),)),
        Kind(f"{label}, and its sum there", "GB/s", "more"),
        Kind(f"{label}, a second time", "ms", "less", (Bar(2),)),
        Kind(f"{label}, to a second client", "ms", "less", (Bar(2),)),
    ]

    def measure(system: ClusterSystem) -> list[float]:
        times = []
        with running(system):
            second = system.module.Client(system.cluster)
            for _ in range(rounds):
                content = next(_content)
                future = _made(system, mib, content)
                start = time.perf_counter()
                array = future.result()
                fetched = time.perf_counter()
                arrays.read(array)
                read = time.perf_counter()
                again = seconds(future.result)
                shared = second.submit(arrays.make, mib, content)
                system.module.wait([shared])
                times.append((fetched - start, read - start, again, seconds(shared.result)))
                del future, shared, array
            second.close()
        first, with_sum, again, other = (median(column) for column in zip(*times, strict=True))
        return [mib * MIB / first / 1e9, mib * MIB / with_sum / 1e9, again * 1e3, other * 1e3]

    for system in clusters(systems):
        yield from figures(kinds, system, measure(system))


def to_worker(systems: list[System], mib: int = 256, rounds: int = 5) -> Iterator[Figure]:
    """Its sum on the other worker, over its sum where it lies (the best of five): what the way there adds.

    The first round is not counted: a virtual machine may have to be given the memory first.
    """
    label = f"{mib} MiB result to another worker, read there"
    kinds = [
        Kind(f"{label}: first reader", "ms", "less", (Bar(1 / 2, "distributed"),)),
        Kind(f"{label}: second reader", "ms", "less", (Bar(2),)),
    ]

    def measure(system: ClusterSystem) -> list[float]:
        firsts, seconds_ = [], []
        with running(system):
            here, there = system.workers()
            for _ in range(1 + rounds):
                future = _made(system, mib, next(_content), workers=[here])
                at_home = min(_read(system, future, here) for _ in range(5))
                firsts.append(_read(system, future, there) - at_home)
                seconds_.append(min(_read(system, future, there) for _ in range(5)) - at_home)
                del future
        return [max(median(values[1:]), 0.0) * 1e3 for values in (firsts, seconds_)]

    for system in clusters(systems):
        yield from figures(kinds, system, measure(system))


def broadcast(systems: list[System], mib: int = 256, rounds: int = 5) -> Iterator[Figure]:
    """``scatter(array, broadcast=True)``: the time, and what it costs in memory once every worker has read it.

    Memory is that of all processes, the client among them, over the least that it was before any of the rounds, per
    byte of the array.
    """
    for workers in (2, 4):
        kinds = [
            Kind(f"{mib} MiB to all of {workers} workers", "ms", "less", (Bar(1 / 12, "distributed"),)),
            Kind(f"{mib} MiB to all of {workers} workers, extra memory", "x", "less", (Bar(1.05),)),
        ]

        def measure(system: ClusterSystem, workers: int = workers) -> list[float]:
            times, extra = [], []
            before = sys.maxsize
            with running(system, workers=workers):
                _read_everywhere(system, system.client.scatter(arrays.make(1, 0), broadcast=True))
                for _ in range(rounds):
                    array = arrays.make(mib, next(_content))
                    before = min(before, _memory())
                    start = time.perf_counter()
                    future = system.client.scatter(array, broadcast=True)
                    times.append(time.perf_counter() - start)
                    _read_everywhere(system, future)
                    extra.append((_memory() - before) / (mib * MIB))
                    del future, array
                    _settle()
            return [median(times) * 1e3, median(extra)]

        for system in clusters(systems):
            yield from figures(kinds, system, measure(system))


def chain(systems: list[System], mib: int = 64, links: int = 100, rounds: int = 3) -> Iterator[Figure]:
    """Each task makes a new array of its predecessor's; one worker, and nothing to send. Medians of turns."""
    kind = Kind(f"a chain of {links} tasks on one array of {mib} MiB", "ms", "less", (Bar(1.05, "distributed"),))

    def run(system: ClusterSystem, length: int) -> int:
        future = system.client.submit(arrays.make, mib, next(_content))
        for _ in range(length - 1):
            future = system.client.submit(arrays.step, future)
        result: int = system.client.submit(arrays.read, future).result()
        return result

    def measure(system: ClusterSystem) -> float:
        with running(system, workers=1):
            run(system, 3)
            return seconds(run, system, links)

    for name, times in take_turns(clusters(systems), rounds, measure).items():
        yield Figure(kind, name, median(times) * 1e3)


def _made(system: ClusterSystem, mib: int, content: int, **options: Any) -> Any:
    future = system.client.submit(arrays.make, mib, content, **options)
    system.module.wait([future])
    return future


def _read(system: ClusterSystem, future: Any, worker: str) -> float:
    return seconds(lambda: system.client.submit(arrays.read, future, workers=[worker], pure=False).result())


def _read_everywhere(system: ClusterSystem, future: Any) -> None:
    system.client.gather([system.client.submit(arrays.read, future, workers=[w], pure=False) for w in system.workers()])


def _memory() -> int:
    return footprint.pss([footprint.this_process(), *footprint.descendants()])


def _settle(patience: float = 5.0) -> None:
    """Let memory be given back: until it has not changed for a while, or patience is at its end."""
    before, end = 0, time.perf_counter() + patience
    while abs((now := _memory()) - before) > MIB and time.perf_counter() < end:
        before = now
        time.sleep(0.2)
