"""Workers in processes of their own, under a supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from nbcluster import capacity
from nbcluster.cluster.crew import Crew, Slot, worker_config
from nbcluster.cluster.sizing import memory_per_worker
from nbcluster.cluster.spec import interpreter_of
from nbcluster.supervisor import launching
from nbcluster.supervisor.forking import Zygote
from nbcluster.supervisor.plain import PlainStarter
from nbcluster.supervisor.process import Starter
from nbcluster.supervisor.supervisor import Supervisor, WorkerSpec
from nbcluster.types import RunId, Status, WorkerName

if TYPE_CHECKING:
    from nbcluster.cluster.runtime import ClusterRuntime


class ProcessCrew(Crew):
    """What a supervisor is told, by a cluster, and the other way round."""

    supervised = True

    def __init__(self, runtime: ClusterRuntime) -> None:
        self._runtime = runtime
        self._total_memory = int(capacity.memory().value)
        self._supervisor = Supervisor(
            self._make_starter, self, runtime.logs.book, terminate=runtime.spec.memory.terminate
        )

    def _make_starter(self) -> Starter:
        interpreter = interpreter_of(self._runtime.spec)
        if not launching.AVAILABLE:
            return PlainStarter(interpreter)
        return Zygote(interpreter, launched=self._runtime.take_zygote())

    async def start(self) -> None:
        """Start the zygote."""
        await self._supervisor.open()

    def hire(self, names: Iterable[WorkerName]) -> None:
        """Have workers of these names."""
        self._supervisor.start(names)

    def joined(self, name: WorkerName) -> None:
        """A worker has registered with the scheduler."""
        self._supervisor.joined(name)

    async def dismiss(self, name: WorkerName) -> None:
        """Stop a worker."""
        await self._supervisor.stop(name)

    async def restart(self, names: Iterable[WorkerName] | None = None) -> None:
        """Replace workers by new ones."""
        await self._supervisor.restart(names)

    @property
    def slots(self) -> dict[WorkerName, Slot]:
        """What the supervisor knows of each."""
        return {name: Slot(*view, self.worker_limit(name)) for name, view in self._supervisor.slots.items()}

    async def close(self) -> None:
        """Stop all workers and the zygote."""
        await self._supervisor.close()

    # --- the supervisor's port ---

    def worker_spec(self, name: WorkerName) -> WorkerSpec:
        """What to start: its share of the memory is that of this moment."""
        runtime, spec = self._runtime, self._runtime.spec
        on_disk, memory = runtime.scratch.on_disk, spec.memory
        config = msgspec.structs.replace(
            worker_config(
                runtime,
                name,
                runtime.private_address if spec.tls is None else runtime.listening,
                memory_limit=self.worker_limit(name),
                memory_target=memory.target if on_disk else None,
                local_directory=str(runtime.scratch.path),
            ),
            shared=runtime.shared_memory,
            memory_spill=memory.spill if on_disk else None,
            memory_pause=memory.pause,
        )
        return WorkerSpec(msgspec.msgpack.encode(config), runtime.token)

    def worker_limit(self, name: WorkerName) -> int | None:
        """An even split is made anew whenever the number of workers changes."""
        workers = max(1, len(self._runtime.roster.names))
        return memory_per_worker(self._runtime.spec.memory_limit, self._total_memory, workers)

    def worker_exited(self, name: WorkerName, pid: int, cause: str, running: frozenset[RunId], log: str) -> None:
        """A worker's process ended."""
        runtime = self._runtime
        runtime.worker_exited(name, pid, cause, running, log)
        if runtime.status in (Status.STARTING, Status.RUNNING):  # else all of it is removed anyway
            runtime.tasks.start(asyncio.to_thread(runtime.scratch.remove_worker, pid), f"remove what {name} left")
