"""Who starts and stops a cluster's workers: processes under a supervisor, or threads in this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from nbcluster.types import Address, Status, WorkerName
from nbcluster.worker.config import CONNECT_TIMEOUT, WorkerConfig

if TYPE_CHECKING:
    from nbcluster.cluster.runtime import ClusterRuntime


class Slot(NamedTuple):
    """What is known of a worker apart from what it says itself."""

    status: Status
    pid: int | None = None
    restarts: int = 0
    last_exit: str = ""
    memory: int = 0
    cpu: float = 0.0
    memory_limit: int | None = None
    """At this moment: an even split changes with the number of workers."""


def worker_config(
    runtime: ClusterRuntime,
    name: WorkerName,
    scheduler: Address,
    *,
    memory_limit: int | None,
    memory_target: float | None,
    local_directory: str,
) -> WorkerConfig:
    """What a worker of a cluster is told, wherever it runs."""
    spec = runtime.spec
    return WorkerConfig(
        scheduler=scheduler,
        name=name,
        listen=runtime.worker_address(name),
        nthreads=spec.threads_per_worker,
        memory_limit=memory_limit,
        memory_target=memory_target,
        resources=spec.resources,
        level=spec.level,
        preload=spec.workers.preload,
        preload_argv=spec.workers.preload_argv,
        plugins=spec.workers.plugins,
        connect_timeout=spec.workers.death_timeout or CONNECT_TIMEOUT,
        start_timeout=spec.workers.death_timeout,
        tls=None if spec.tls is None else spec.tls.worker,
        local_directory=local_directory,
    )


class Crew(ABC):
    """The workers that a cluster should have; each name is a slot that stays until it is dismissed."""

    supervised: bool
    """True if it reports how each worker's process ended."""

    @abstractmethod
    async def start(self) -> None:
        """Get ready to start workers.

        Raises:
            ClusterError: workers cannot be started here; says why.
        """

    @abstractmethod
    def hire(self, names: Iterable[WorkerName]) -> None:
        """Have workers of these names; they join when they are up."""

    @abstractmethod
    def joined(self, name: WorkerName) -> None:
        """A worker has registered with the scheduler."""

    @abstractmethod
    async def dismiss(self, name: WorkerName) -> None:
        """Stop a worker, and have it no more. Idempotent."""

    @abstractmethod
    async def restart(self, names: Iterable[WorkerName] | None = None) -> None:
        """Stop workers at once, all or these, and start them afresh."""

    @property
    @abstractmethod
    def slots(self) -> dict[WorkerName, Slot]:
        """All slots, by name."""

    @abstractmethod
    async def close(self) -> None:
        """End all workers. Idempotent."""
