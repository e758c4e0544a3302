"""What clients have a cluster do to its workers: restart them, all or some; let them go."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from nbcluster.deadlines import within
from nbcluster.errors import TimeoutError
from nbcluster.protocol.operating import ClusterOperation, RestartCluster, RestartWorkers, Retire
from nbcluster.types import Status, WorkerName

if TYPE_CHECKING:
    from nbcluster.cluster.runtime import ClusterRuntime
    from nbcluster.scheduler.state import SchedWorker

LOOK = 0.1
"""Seconds after which to look again at what nobody announces."""


class Operations:
    """Carries them out for one cluster. Its answers are what ``protocol.operating`` says."""

    def __init__(self, runtime: ClusterRuntime) -> None:
        self._runtime = runtime

    async def carry_out(self, operation: ClusterOperation) -> dict[str, str]:
        """Carry out one.

        Raises:
            ValueError: it names a worker that there is not.
            TimeoutError: it was not done in time.
        """
        if isinstance(operation, Retire):
            return await self._retire(operation)
        if isinstance(operation, RestartWorkers):
            return await self._restart_some(operation)
        return await self._restart_all(operation)

    # --- restarting ---

    async def _restart_all(self, operation: RestartCluster) -> dict[str, str]:
        runtime = self._runtime
        deadline = time.monotonic() + operation.timeout
        guests = runtime.server.guests
        joined = [name for name in guests.names if name in self._workers]
        former = {worker for name, worker in self._workers.items() if name in runtime.crew.slots or name in guests}
        runtime.server.forget_all("cluster-restarted", "The cluster was restarted.")
        guests.restart(joined)
        with contextlib.suppress(TimeoutError):  # then it is said below which of them are not back
            await self._in_time(runtime.crew.restart(), deadline)
        runtime.observers.poke()

        def missing() -> list[WorkerName]:
            names = [*runtime.roster.names, *(name for name in joined if name in guests)]
            return self._missing(names, former)

        def is_done() -> bool:
            if operation.wait:
                return not missing()
            return not former & set(self._workers.values())

        if not await self._wait_until(is_done, deadline):
            count = len(runtime.roster.names) + len(joined)
            raise TimeoutError(
                f"{len(missing())} of {count} workers did not come back within {operation.timeout:g} s; "
                "cluster.get_logs() shows what they said"
            )
        return {}

    async def _restart_some(self, operation: RestartWorkers) -> dict[str, str]:
        runtime = self._runtime
        deadline = time.monotonic() + operation.timeout
        chosen = {given: self._find(given) for given in operation.workers}
        guests = runtime.server.guests
        for given, worker in chosen.items():
            if worker.name not in runtime.crew.slots and not guests.supervised(worker.name):
                raise ValueError(
                    f"workers={operation.workers!r}: {given!r} has no nanny, and was not started by this cluster; "
                    "whoever started it can close it, and start another"
                )
        names = [worker.name for worker in chosen.values()]
        former = set(chosen.values())
        guests.restart([name for name in names if name in guests])
        with contextlib.suppress(TimeoutError):
            await self._in_time(runtime.crew.restart([name for name in names if name not in guests]), deadline)
        runtime.observers.poke()
        await self._wait_until(lambda: not self._missing(names, former), deadline)
        late = self._missing(names, former)
        return {given: "timed out" if worker.name in late else "OK" for given, worker in chosen.items()}

    def _missing(self, names: Iterable[WorkerName], former: set[SchedWorker]) -> list[WorkerName]:
        """Which of these are not there anew."""
        workers = self._workers
        there = {name for name, w in workers.items() if w not in former and w.status == Status.RUNNING}
        return [name for name in names if name not in there]

    # --- retiring ---

    async def _retire(self, operation: Retire) -> dict[str, str]:
        runtime = self._runtime
        if operation.workers is None:
            leaving = self._dispensable(operation)
        else:
            leaving = [self._find(given) for given in operation.workers]
        names = [worker.name for worker in leaving]
        answer = {worker.address: str(worker.name) for worker in leaving}
        if not names:
            return answer
        if operation.close:
            own = [name for name in names if name in runtime.roster.names]
            if own:
                await runtime.adaptive.stop()
                runtime.roster.dismiss(own)
            runtime.server.guests.dismiss([name for name in names if name not in own])
        else:
            runtime.server.retire(names)
        gone = set(leaving)
        state = runtime.server.core.state

        def is_done() -> bool:
            connected = {worker for worker in state.workers.values() if worker in gone}
            if not operation.close:
                return not any(worker.name in state.retiring for worker in connected)
            return not connected

        await self._wait_until(is_done, None)
        runtime.observers.poke()
        return answer

    def _dispensable(self, operation: Retire) -> list[SchedWorker]:
        running = [worker for worker in self._workers.values() if worker.status == Status.RUNNING]
        most = max(0, len(running) - operation.minimum)
        running = self._runtime.server.plugins.may_go(running)
        running.sort(key=lambda worker: (len(worker.processing), worker.stored))
        if operation.n is not None:
            return running[: min(operation.n, most)]
        return [worker for worker in running if not worker.processing and not worker.holds][:most]

    # --- helpers ---

    @property
    def _workers(self) -> dict[WorkerName, SchedWorker]:
        return self._runtime.server.core.state.workers

    def _find(self, given: str) -> SchedWorker:
        for worker in self._workers.values():
            if given in (worker.address, str(worker.name)):
                return worker
        known = ", ".join(repr(worker.address) for worker in self._workers.values()) or "none"
        raise ValueError(f"{given!r} is no worker of this cluster; there are {known}")

    async def _in_time(self, doing: Coroutine[Any, Any, None], deadline: float) -> None:
        """Wait for something no longer than that. It is carried through all the same: half of it would be worse."""
        task = self._runtime.tasks.start(doing, "restart workers")
        await within(asyncio.shield(task), max(0.0, deadline - time.monotonic()))

    async def _wait_until(self, is_done: Callable[[], bool], deadline: float | None) -> bool:
        """Wait for something that workers' coming and going, or their reports, bring about. False if it is too late."""
        while not is_done():
            left = LOOK if deadline is None else min(LOOK, deadline - time.monotonic())
            if left <= 0:
                return False
            with contextlib.suppress(asyncio.TimeoutError):
                await within(self._runtime.server.wait_changed(), left)
        return True
