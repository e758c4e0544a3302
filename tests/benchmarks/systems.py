"""The systems that are measured, behind one small interface: two workers of one thread each."""

from __future__ import annotations

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.benchmarks.work import noop

WORKERS = 2


class System(ABC):
    """One way to run functions in worker processes."""

    name: str
    package: str
    most_tasks: int
    """More at once take too long to be worth while."""

    @abstractmethod
    def start(self, workers: int = WORKERS) -> None:
        """Have that many workers ready."""

    @abstractmethod
    def stop(self) -> None:
        """End everything."""

    @abstractmethod
    def map(self, function: Callable[[int], int], arguments: Sequence[int], pure: bool = True) -> list[int]:
        """Run it on every argument, in one call, and return all results."""

    @abstractmethod
    def submit(self, function: Callable[[int], int], argument: int) -> Any:
        """Start one task and return its future."""

    def gather(self, futures: list[Any]) -> list[int]:
        """The results of all."""
        return [future.result() for future in futures]

    def is_at_rest(self) -> bool:
        """Whether it has let go of everything that nobody wants any more."""
        return True


class ClusterSystem(System):
    """A package with the API of dask.distributed."""

    def __init__(self, package: str, kind: str = "LocalCluster", most_tasks: int = 200_000) -> None:
        self.package = package
        self.kind = kind
        self.ours = package == "nbcluster"
        self.name = kind if self.ours else package
        self.most_tasks = most_tasks

    def start(self, workers: int = WORKERS) -> None:
        self.module = importlib.import_module(self.package)
        address = None if self.ours else ":0"
        kind: Callable[..., Any] = getattr(self.module, self.kind)
        self.cluster = kind(n_workers=workers, threads_per_worker=1, dashboard_address=address)
        self.client: Any = self.module.Client(self.cluster)
        if workers:
            self.client.wait_for_workers(workers)

    def stop(self) -> None:
        self.client.close()
        self.cluster.close()

    def map(self, function: Callable[[int], int], arguments: Sequence[int], pure: bool = True) -> list[int]:
        results: list[int] = self.client.gather(self.client.map(function, arguments, pure=pure))
        return results

    def submit(self, function: Callable[[int], int], argument: int) -> Any:
        return self.client.submit(function, argument)

    def gather(self, futures: list[Any]) -> list[int]:
        results: list[int] = self.client.gather(futures)
        return results

    def is_at_rest(self) -> bool:
        return not self.client.run_on_scheduler(_known_tasks)

    def scale(self, workers: int) -> None:
        """Have that many workers in all, ready."""
        self.cluster.scale(workers)
        self.client.wait_for_workers(workers)

    def workers(self) -> list[str]:
        """Their addresses."""
        return list(self.client.scheduler_info()["workers"])


class PoolSystem(System):
    """An executor in the manner of ``concurrent.futures``."""

    def __init__(self, name: str, package: str, executor: Callable[[int], Any], most_tasks: int = 10_000) -> None:
        self.name = name
        self.package = package
        self.most_tasks = most_tasks
        self._executor = executor

    def start(self, workers: int = WORKERS) -> None:
        self.pool = self._executor(workers)

    def stop(self) -> None:
        self.pool.shutdown()

    def map(self, function: Callable[[int], int], arguments: Sequence[int], pure: bool = True) -> list[int]:
        return list(self.pool.map(function, arguments))

    def submit(self, function: Callable[[int], int], argument: int) -> Any:
        return self.pool.submit(function, argument)


def _known_tasks(dask_scheduler: Any) -> int:
    return len(dask_scheduler.tasks)


def _loky(workers: int) -> Any:
    return importlib.import_module("loky").ProcessPoolExecutor(workers)


def all_systems() -> list[System]:
    """Ours first, then the peers that are installed."""
    systems: list[System] = [
        ClusterSystem("nbcluster"),
        ClusterSystem("nbcluster", "SubprocessCluster"),
        ClusterSystem("distributed", most_tasks=5_000),
        PoolSystem("loky", "loky", _loky),
        PoolSystem("ProcessPool", "concurrent.futures", ProcessPoolExecutor),
    ]
    return [system for system in systems if importlib.util.find_spec(system.package)]


def clusters(systems: Sequence[System], ours: bool = False) -> list[ClusterSystem]:
    """Those with the API of dask.distributed; if asked, ours alone."""
    return [s for s in systems if isinstance(s, ClusterSystem) and (s.ours or not ours)]


@contextmanager
def running(*systems: System, workers: int = WORKERS) -> Iterator[None]:
    """Start them, run one task on each that has workers, and stop them at the end."""
    with ExitStack() as stack:
        for system in systems:
            system.start(workers)
            stack.callback(system.stop)
            if workers:
                system.map(noop, range(-10 * workers, 0))
        yield
