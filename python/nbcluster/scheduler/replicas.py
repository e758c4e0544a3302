"""Copies of results: made where they are wanted, moved to where there is room, dropped where they are spare.

Theory
- A *job* is a request that takes a while: it says which copies there should be, and is looked at after each event until
  they are there, or cannot be. Nothing is remembered that the state does not say, but what was asked of whom.
- Copies spread as a tree: of each that there is, only so many are made at a time.
- A copy is *spare* if another worker holds the data, no task that is running or about to run here needs it, and nobody
  has asked for it to be there. What lies in shared memory is never spare: another reader of it costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from nbcluster.protocol.messages import AcquireReplicas, CallFailed, Location, ReplicasFailed
from nbcluster.protocol.operating import ManageMemory, OperationDone, Rebalance, Replicate
from nbcluster.scheduler.lanes import is_named
from nbcluster.scheduler.machine import Machine
from nbcluster.scheduler.outbox import Outbox
from nbcluster.scheduler.state import (
    MEMORY,
    PROCESSING,
    SchedClient,
    SchedTask,
    SchedulerState,
    SchedWorker,
)
from nbcluster.types import Key, Status

_EXAMINED = 10_000
"""How many tasks are looked at for spare copies at a time."""
_ATTEMPTS = 3
"""How often one copy is tried."""


class _Job:
    """Copies in the making: for each task, who should hold it and how many of them are enough."""

    def __init__(self, client: SchedClient, request: int, branching: int = 1_000_000) -> None:
        self.client = client
        self.request = request
        self.branching = branching
        self.wanted: dict[SchedTask, tuple[list[SchedWorker], int]] = {}
        self.asked: dict[tuple[SchedTask, SchedWorker], int] = {}
        self.failed: dict[tuple[SchedTask, SchedWorker], None] = {}
        self.moves: dict[SchedTask, SchedWorker] = {}
        """Whence a task moves: this copy goes when the new one is there."""


class Replicas:
    """Handlers of ``Replicate``, ``Rebalance`` and ``ManageMemory``."""

    def __init__(self, state: SchedulerState, machine: Machine, outbox: Outbox) -> None:
        self._state = state
        self._machine = machine
        self._outbox = outbox
        self.jobs: list[_Job] = []
        self.managing = True
        """Whether spare copies are dropped now and then."""

    # --- requests ---

    def replicate(self, client: SchedClient, message: Replicate) -> None:
        """Have so many workers hold each result."""
        if message.n is not None and message.n < 1:
            self._refuse(client, message.request, f"n={message.n} is out of range: replicate() deletes no data")
            return
        workers = self._running(message.workers)
        if not workers:
            self._refuse(client, message.request, f"workers={message.workers!r} names no worker that is running")
            return
        n = len(workers) if message.n is None else min(message.n, len(workers))
        tasks = self._in_memory(message.keys)
        for task in tasks:
            if task.options.actor:
                self._refuse(client, message.request, f"{task.key!r} is an actor: it lives on one worker")
                return
        job = _Job(client, message.request, message.branching_factor)
        for task in tasks:
            self._state.pinned[task] = None
            holders = [worker for worker in workers if worker in task.who_has]
            for worker in holders[n:]:
                self._drop(task, worker)
            job.wanted[task] = workers, n
        self._begin(job)

    def rebalance(self, client: SchedClient, message: Rebalance) -> None:
        """Move results from workers that hold more than the mean to those that hold less."""
        workers = self._running(message.workers)
        if message.workers is not None and not workers:
            self._refuse(client, message.request, f"workers={message.workers!r} names no worker that is running")
            return
        job = _Job(client, message.request)
        movable = None if message.keys is None else set(self._in_memory(message.keys))
        held = {worker: sum(task.nbytes for task in worker.holds) for worker in workers}
        mean = sum(held.values()) / max(1, len(workers))
        for sender in sorted(workers, key=lambda worker: -held[worker]):
            for task in sorted(sender.holds, key=lambda task: (-task.nbytes, task.order)):
                if held[sender] <= mean:
                    break
                if task.state != MEMORY or task in job.moves or (movable is not None and task not in movable):
                    continue
                if task.options.actor:  # it lives where it was made
                    continue
                others = [worker for worker in workers if worker not in task.who_has]
                if not others:
                    continue
                receiver = min(others, key=lambda worker: held[worker])
                if held[receiver] + task.nbytes >= held[sender]:
                    continue
                held[sender] -= task.nbytes
                held[receiver] += task.nbytes
                job.moves[task] = sender
                job.wanted[task] = [receiver], 1
        self._begin(job)

    def manage(self, client: SchedClient, message: ManageMemory) -> None:
        """Begin or cease to drop spare copies, or drop them now."""
        if message.action == "run_once":
            self.drop_spares()
        elif message.action != "running":
            self.managing = message.action == "start"
        self._outbox.to_client(client, OperationDone(message.request, {"running": "yes" if self.managing else "no"}))

    def _refuse(self, client: SchedClient, request: int, why: str) -> None:
        self._outbox.to_client(client, CallFailed(request, "ValueError", why))

    def _running(self, names: list[str] | None) -> list[SchedWorker]:
        chosen = None if names is None else frozenset(names)
        return [
            worker
            for worker in self._state.workers.values()
            if worker.status == Status.RUNNING and (chosen is None or is_named(worker, chosen))
        ]

    def _in_memory(self, keys: Iterable[Key]) -> list[SchedTask]:
        tasks = (self._state.tasks.get(key) for key in dict.fromkeys(keys))
        return [task for task in tasks if task is not None and task.state == MEMORY]

    # --- jobs ---

    def _begin(self, job: _Job) -> None:
        self.jobs.append(job)
        self.check()

    def check(self) -> None:
        """Look at all jobs: order the next copies, and answer for those that are done."""
        for job in list(self.jobs):
            orders: dict[SchedWorker, list[Location]] = {}
            for task in list(job.wanted):
                if self._is_settled(job, task, orders):
                    del job.wanted[task]
            for worker, locations in orders.items():
                self._outbox.to_worker(worker, AcquireReplicas(locations))
            if not job.wanted:
                self.jobs.remove(job)
                if job.client.id in self._state.clients:
                    self._outbox.to_client(job.client, OperationDone(job.request))

    def _is_settled(self, job: _Job, task: SchedTask, orders: dict[SchedWorker, list[Location]]) -> bool:
        workers, n = job.wanted[task]
        if task.state != MEMORY:
            return True
        there = [worker for worker in workers if worker in task.who_has]
        if len(there) >= n:
            source = job.moves.pop(task, None)
            if source is not None and source in task.who_has and len(task.who_has) > 1:
                self._drop(task, source)
            return True
        elsewhere = [w for w in workers if w not in task.who_has and w.status == Status.RUNNING]
        awaited = [w for w in elsewhere if (task, w) in job.asked and (task, w) not in job.failed]
        able = [w for w in elsewhere if w not in awaited and job.asked.get((task, w), 0) < _ATTEMPTS]
        able.sort(key=lambda worker: worker.stored)
        room = max(1, len(task.who_has)) * job.branching - len(awaited)
        for worker in able[: max(0, min(room, n - len(there) - len(awaited)))]:
            job.asked[task, worker] = job.asked.get((task, worker), 0) + 1
            job.failed.pop((task, worker), None)
            holders = [holder.address for holder in task.who_has]
            location = Location(task.key, None if holders else task.payload, holders, task.nbytes)
            orders.setdefault(worker, []).append(location)
        return not awaited and not able

    def failed(self, worker: SchedWorker, message: ReplicasFailed) -> None:
        """A worker could not make copies."""
        for missing in message.missing:
            task = self._state.tasks.get(missing.key)
            for job in self.jobs if task is not None else ():
                if (task, worker) in job.asked:
                    job.failed[task, worker] = None  # type: ignore[index]

    # --- spare copies ---

    def drop_spares(self) -> None:
        """Drop the copies that nobody needs: of so many tasks that it does not take long, and next time of others."""
        replicated = self._state.replicated
        for task in list(islice(replicated, _EXAMINED)):
            del replicated[task]
            if task.state != MEMORY or len(task.who_has) < 2:
                continue
            if task not in self._state.pinned and not self._is_free(task):
                self._drop_spares_of(task)
            if len(task.who_has) > 1:
                replicated[task] = None

    def _is_free(self, task: SchedTask) -> bool:
        """True if another copy of it takes no memory."""
        return task.payload is not None and (task.payload.is_shared or task.payload.is_live)

    def _drop_spares_of(self, task: SchedTask) -> None:
        if any(waiter.state != PROCESSING for waiter in task.waiters or ()):
            return  # they will run where it is
        used = {waiter.processing_on for waiter in task.waiters or ()}
        running = [worker for worker in task.who_has if worker.status == Status.RUNNING]
        if not running:
            return
        kept = min(running, key=lambda worker: (worker not in used, worker.stored))
        for worker in list(task.who_has):
            if worker is not kept and worker not in used and worker.status != Status.RETIRING:
                self._drop(task, worker)

    def _drop(self, task: SchedTask, worker: SchedWorker) -> None:
        self._outbox.free(worker, task.key)
        self._machine.lose_replica(task, worker)
