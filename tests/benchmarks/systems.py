"""The systems that are measured, behind one small interface: two workers of one thread each."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import psutil

from tests.benchmarks.work import noop

WORKERS = 2


class System(ABC):
    """One way to run functions in two worker processes."""

    name: str
    package: str

    @abstractmethod
    def start(self) -> None:
        """Have two workers ready."""

    @abstractmethod
    def stop(self) -> None:
        """End everything."""

    @abstractmethod
    def map_gather(self, arguments: Iterable[int], pure: bool) -> list[int]:
        """Run the no-op on every argument and return all results."""

    @abstractmethod
    def round_trip(self, argument: int) -> int:
        """Run the no-op once and return its result."""

    def add_workers(self, n: int) -> None:
        """Have ``n`` more workers, ready."""
        raise NotImplementedError(f"{self.name} cannot grow")

    def idle_memory(self) -> int:
        """Proportional set size, in bytes, of all processes that belong to it but this one."""
        total = 0
        for child in psutil.Process(os.getpid()).children(recursive=True):
            try:
                total += child.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
        return total


class ClusterSystem(System):
    """A package with the API of dask.distributed."""

    def __init__(self, package: str, kind: str = "LocalCluster") -> None:
        self.package = package
        self.kind = kind
        self.name = package if kind == "LocalCluster" else f"{package} {kind}"

    def start(self) -> None:
        module = __import__(self.package)
        extra: dict[str, Any] = (
            {"dashboard_address": ":0"} if self.package == "distributed" else {"dashboard_address": None}
        )
        self.cluster = getattr(module, self.kind)(n_workers=WORKERS, threads_per_worker=1, **extra)
        self.client = module.Client(self.cluster)
        self.client.wait_for_workers(WORKERS)

    def stop(self) -> None:
        self.client.close()
        self.cluster.close()

    def map_gather(self, arguments: Iterable[int], pure: bool) -> list[int]:
        results: list[int] = self.client.gather(self.client.map(noop, arguments, pure=pure))
        return results

    def round_trip(self, argument: int) -> int:
        result: int = self.client.submit(noop, argument).result()
        return result

    def add_workers(self, n: int) -> None:
        self.cluster.scale(WORKERS + n)
        self.client.wait_for_workers(WORKERS + n)


class PoolSystem(System):
    """``concurrent.futures.ProcessPoolExecutor``."""

    name = "ProcessPool"
    package = "concurrent.futures"

    def start(self) -> None:
        self.pool = ProcessPoolExecutor(WORKERS)
        self.pool.submit(noop, 0).result()

    def stop(self) -> None:
        self.pool.shutdown()

    def map_gather(self, arguments: Iterable[int], pure: bool) -> list[int]:
        futures = [self.pool.submit(noop, argument) for argument in arguments]
        return [future.result() for future in futures]

    def round_trip(self, argument: int) -> int:
        return self.pool.submit(noop, argument).result()


def all_systems() -> list[System]:
    """Ours first."""
    return [
        ClusterSystem("nbcluster"),
        ClusterSystem("nbcluster", "SubprocessCluster"),
        ClusterSystem("distributed"),
        PoolSystem(),
    ]
