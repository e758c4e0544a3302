"""Big arrays of a client on another host, and to it: over TCP, for it shares no memory with the cluster.

The host is this one, but the client does not know that, and workers listen at addresses of their own on loopback.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

from tests.benchmarks import arrays
from tests.benchmarks.arrays import MIB
from tests.benchmarks.figures import Bar, Figure, Kind
from tests.benchmarks.measures.base import figures, median, seconds
from tests.benchmarks.systems import WORKERS, ClusterSystem, System, clusters

_content = count(1)

PAUSE = 0.2
"""Seconds between two rounds, in which what the last one has left is let go of everywhere."""


def remote(systems: list[System], mib: int = 256, rounds: int = 5, pause: float = PAUSE) -> Iterator[Figure]:
    """The first of each in a new cluster, and the median of the others.

    The first one pays for memory that nobody has touched yet: a virtual machine may have to get it from its host.
    """
    names = ["result to", "array scattered by", "array as an argument of"]
    kinds = []
    for name in names:
        label = f"{mib} MiB {name} a client that shares no memory"
        kinds.append(Kind(f"{label}: the first", "GB/s", "more"))
        kinds.append(Kind(f"{label}: the next", "GB/s", "more", (Bar(2),)))

    def rates(once: Callable[[], float]) -> Iterator[float]:
        times = []
        for _ in range(rounds):
            times.append(once())
            time.sleep(pause)
        yield mib * MIB / times[0] / 1e9
        yield mib * MIB / median(times[1:]) / 1e9

    def measure(system: ClusterSystem) -> Iterator[float]:
        for way in (_result, _scattered, _argument):
            with _far(system) as client:
                yield from rates(lambda way=way: way(system, client, mib))  # type: ignore[misc]

    for system in clusters(systems):
        yield from figures(kinds, system, measure(system))


def _result(system: ClusterSystem, client: Any, mib: int) -> float:
    future = client.submit(arrays.make, mib, next(_content))
    system.module.wait([future])
    return seconds(future.result)


def _scattered(system: ClusterSystem, client: Any, mib: int) -> float:
    array = arrays.make(mib, next(_content))
    return seconds(client.scatter, array)


def _argument(system: ClusterSystem, client: Any, mib: int) -> float:
    array = arrays.make(mib, next(_content))
    return seconds(lambda: client.submit(arrays.last, array).result())


@contextmanager
def _far(system: ClusterSystem) -> Iterator[Any]:
    """A client of a new cluster, that sees nothing of the host's memory."""
    module = system.module = importlib.import_module(system.package)
    kind = getattr(module, system.kind)
    host = {"host": "127.0.0.2", "dashboard_address": None} if system.ours else {"dashboard_address": ":0"}
    with (
        kind(n_workers=WORKERS, threads_per_worker=1, **host) as cluster,
        _elsewhere(system),
        module.Client(cluster.scheduler_address) as client,
    ):
        client.wait_for_workers(WORKERS)
        client.submit(arrays.last, arrays.make(1, 0)).result()
        yield client


@contextmanager
def _elsewhere(system: ClusterSystem) -> Iterator[None]:
    if not system.ours:
        yield
        return
    from nbcluster.client.session import Session

    look = Session._share_memory

    def look_in_vain(session: Session, where: Path) -> None:
        look(session, Path("/nowhere") / where.name)

    with mock.patch.object(Session, "_share_memory", look_in_vain):
        yield
