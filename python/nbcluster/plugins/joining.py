"""How plugins get into workers: these functions run there, beside the tasks, on behalf of a client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, MutableMapping
from typing import Any

from nbcluster.plugins.base import ClusterPlugin, NannyPlugin, WorkerPlugin
from nbcluster.protocol.calling import takes


def add_plugin(dask_worker: Any, plugin: WorkerPlugin | NannyPlugin, kind: str, name: str) -> Any:
    """Set a plugin up in this worker; one of its name goes first."""
    return dask_worker.add_plugin(plugin, kind, name)


def remove_plugin(dask_worker: Any, kind: str, name: str) -> Any:
    """Tear a plugin down in this worker."""
    return dask_worker.remove_plugin(kind, name)


async def start_plugin(dask_scheduler: Any, plugin: ClusterPlugin) -> None:
    """Have a plugin do where the scheduler runs what it has to do there; the scheduler goes on meanwhile."""
    await asyncio.to_thread(plugin.start, dask_scheduler)


class SetupPlugin(WorkerPlugin):
    """Runs a function once on each worker: ``register_worker_callbacks``."""

    def __init__(self, setup: Callable[..., Any]) -> None:
        if not callable(setup):
            raise TypeError(f"setup={setup!r} is not callable")
        self._setup = setup

    def setup(self, worker: Any) -> Any:
        """Run it."""
        return self._setup(dask_worker=worker) if takes(self._setup, "dask_worker") else self._setup()


class NannyFacade:
    """What a ``NannyPlugin`` is given."""

    def __init__(self, worker: Any) -> None:
        self.name: int | str = worker.name
        self.nthreads: int = worker.nthreads
        self.memory_limit: int | None = worker.memory_limit
        self.scheduler_addr: str = worker.scheduler_address
        self.pid = os.getpid()
        self.worker_address: str = worker.address
        self.local_directory: str = worker.shared_directory
        self.env: MutableMapping[str, str] = os.environ

    def __repr__(self) -> str:
        return f"<Nanny of {self.worker_address}>"
