"""Who starts and stops a cluster's workers: processes under a supervisor, or threads in this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

from nbcluster.types import Status, WorkerName


class Slot(NamedTuple):
    """What is known of a worker apart from what it says itself."""

    status: Status
    pid: int = 0
    restarts: int = 0
    last_exit: str = ""
    memory: int = 0
    cpu: float = 0.0
    memory_limit: int | None = None
    """At this moment: an even split changes with the number of workers."""


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
