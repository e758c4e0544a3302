"""Workers that are threads of this process: nothing is copied between them, and nothing is protected either."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nbcluster import capacity
from nbcluster.cluster.crew import Crew, Slot, worker_config
from nbcluster.cluster.sizing import memory_per_worker
from nbcluster.types import Status, WorkerName
from nbcluster.worker.config import WorkerConfig
from nbcluster.worker.ports import ClientFactory
from nbcluster.worker.server import WorkerServer

if TYPE_CHECKING:
    from nbcluster.cluster.runtime import ClusterRuntime

GIVEN_UP = 3
"""As many restarts as say that a worker cannot be started: threads are not tried again."""

logger = logging.getLogger("nbcluster.cluster")


class ThreadCrew(Crew):
    """Worker servers on the cluster's own event loop; their tasks run in threads."""

    supervised = False

    def __init__(self, runtime: ClusterRuntime, clients: ClientFactory) -> None:
        self._runtime = runtime
        self._clients = clients
        self._workers: dict[WorkerName, WorkerServer] = {}
        self._names: list[WorkerName] = []
        self._restarting: set[WorkerName] = set()
        """Those that are to follow others of their names that are being stopped."""
        self._failed: dict[WorkerName, str] = {}
        self._total_memory = int(capacity.memory().value)

    async def start(self) -> None:
        """Nothing to get ready."""

    def hire(self, names: Iterable[WorkerName]) -> None:
        """Start workers here."""
        for name in names:
            if name not in self._names:
                self._names.append(name)
                self._start(name)

    def _start(self, name: WorkerName) -> None:
        self._runtime.tasks.start(self._run(name), f"worker {name}")

    async def _run(self, name: WorkerName) -> None:
        worker = WorkerServer(self._config(name), self._runtime.token, clients=self._clients)
        self._workers[name] = worker
        try:
            await worker.start()
        except Exception as error:  # of code to preload, which may raise anything
            self._failed[name] = f"could not be started: {type(error).__name__}: {error}"
            logger.exception("Worker %s could not be started", name)

    def _config(self, name: WorkerName) -> WorkerConfig:
        runtime, spec = self._runtime, self._runtime.spec
        return worker_config(
            runtime,
            name,
            # By any other way than this they hand each other what others can be handed, too.
            runtime.inproc_address if spec.protocol == "inproc" else runtime.listening,
            memory_limit=self._memory_limit,
            memory_target=None,  # it is that of the process, which has more in it than results
            local_directory=runtime.server.local_directory,
        )

    def joined(self, name: WorkerName) -> None:
        """Nothing depends on it here."""

    async def dismiss(self, name: WorkerName) -> None:
        """Stop a worker."""
        self._restarting.discard(name)
        if name in self._names:
            self._names.remove(name)
        await self._stop(name)

    async def _stop(self, name: WorkerName) -> None:
        self._failed.pop(name, None)
        worker = self._workers.pop(name, None)
        if worker is not None:
            await worker.close()

    async def restart(self, names: Iterable[WorkerName] | None = None) -> None:
        """Replace workers by new ones."""
        chosen = [name for name in self._names if names is None or name in names]
        self._restarting.update(chosen)
        for name in chosen:
            await self._stop(name)
        for name in chosen:
            if name in self._restarting:  # else it was dismissed meanwhile
                self._restarting.remove(name)
                self._start(name)

    @property
    def slots(self) -> dict[WorkerName, Slot]:
        """All of them run, or are about to."""
        limit = self._memory_limit
        return {
            name: Slot(Status.BROKEN, restarts=GIVEN_UP, last_exit=self._failed[name], memory_limit=limit)
            if name in self._failed
            else Slot(Status.RUNNING, memory_limit=limit)
            for name in self._names
        }

    @property
    def _memory_limit(self) -> int | None:
        """What each is meant to use. Nobody enforces it: threads share one process."""
        workers = max(1, len(self._runtime.roster.names))
        return memory_per_worker(self._runtime.spec.memory_limit, self._total_memory, workers)

    async def close(self) -> None:
        """Stop all workers."""
        for name in list(self._names):
            await self.dismiss(name)
