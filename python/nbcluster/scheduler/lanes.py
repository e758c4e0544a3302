"""Queued tasks by what they demand of a worker, and workers by what they can take right now.

Theory
- A *lane* is the queue of the tasks that share their constraints. A *pool* is the workers that have room and, right
  now, the resources that some lanes ask for.
- Who looks for a worker looks at those that a restriction names, and at the first of a pool: never at all of them.
- A lane that finds nobody is *stuck*: it is not looked at again until a worker that could help it has room.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from nbcluster.protocol.messages import TaskOptions
from nbcluster.scheduler.backlog import Backlog
from nbcluster.scheduler.state import SchedTask, SchedulerState, SchedWorker

_UNUSED_POOLS = 16
"""So many pools are kept although no lane needs them at the moment."""


class Pool:
    """Workers that have room, and so much of some resources; the one to take next comes first."""

    __slots__ = ("idle", "open", "resources", "stuck")

    def __init__(self, resources: dict[str, float]) -> None:
        self.resources = resources
        self.idle: OrderedDict[SchedWorker, None] = OrderedDict()
        """With fewer tasks than threads."""
        self.open: OrderedDict[SchedWorker, None] = OrderedDict()
        """With room."""
        self.stuck: dict[Lane, None] = {}
        """Lanes that found nobody here."""

    def first(self) -> SchedWorker | None:
        """Who gets the next task."""
        return next(iter(self.idle or self.open), None)

    def fits(self, worker: SchedWorker) -> bool:
        """True if the worker has the resources free right now."""
        available = worker.available
        return all(available.get(name, 0) >= amount for name, amount in self.resources.items())

    def remove(self, worker: SchedWorker) -> None:
        """The worker has no room."""
        self.idle.pop(worker, None)
        self.open.pop(worker, None)


class Lane:
    """Queued tasks that share their constraints."""

    __slots__ = ("backlog", "pool", "resources", "strict", "workers")

    def __init__(self, options: TaskOptions, pool: Pool) -> None:
        self.backlog = Backlog()
        self.workers = frozenset(options.workers) if options.workers else None
        self.strict = not options.allow_other_workers
        self.resources = pool.resources
        self.pool = pool

    def allows(self, worker: SchedWorker) -> bool:
        """True if this worker could ever run these tasks."""
        if self.workers is not None and self.strict and not is_named(worker, self.workers):
            return False
        return all(worker.resources.get(name, 0) >= amount for name, amount in self.resources.items())

    def __iter__(self) -> Iterator[SchedTask]:
        return iter(self.backlog)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def lane_apart(options: TaskOptions) -> Lane:
    """A lane of tasks with these options that nobody looks at: it only says who could run them."""
    return Lane(options, Pool(dict(_needed(options))))


def _needed(options: TaskOptions) -> frozenset[tuple[str, float]]:
    return frozenset((name, amount) for name, amount in options.resources.items() if amount)


class Lanes:
    """All lanes and pools. Whoever changes what a worker has room for says so to ``sort``."""

    __slots__ = ("_pools", "_state", "_stuck_by_name", "active", "any", "by_signature", "everybody")

    def __init__(self, state: SchedulerState) -> None:
        self._state = state
        self.everybody = Pool({})
        self.any = Lane(TaskOptions(), self.everybody)
        """Tasks that any worker may run."""
        self.active: dict[Lane, None] = {}
        """Lanes of other tasks that might find a worker."""
        self.by_signature: OrderedDict[tuple[object, ...], Lane] = OrderedDict()
        """All but ``any``."""
        self._pools: dict[frozenset[tuple[str, float]], Pool] = {}
        self._stuck_by_name: dict[str, dict[Lane, None]] = {}

    def __iter__(self) -> Iterator[Lane]:
        yield self.any
        yield from self.by_signature.values()

    def lane(self, options: TaskOptions) -> Lane:
        """The lane of tasks with these options: one is to be added."""
        resources = _needed(options)
        signature = (frozenset(options.workers or ()), options.allow_other_workers, resources)
        lane = self.by_signature.get(signature)
        if lane is None:
            lane = self.by_signature[signature] = Lane(options, self._pool(resources))
        self.active[lane] = None
        return lane

    def _pool(self, resources: frozenset[tuple[str, float]]) -> Pool:
        if not resources:
            return self.everybody
        pool = self._pools.get(resources)
        if pool is None:
            if len(self._pools) >= _UNUSED_POOLS:
                used = {id(lane.pool) for lane in self.by_signature.values()}
                self._pools = {key: kept for key, kept in self._pools.items() if id(kept) in used}
            pool = self._pools[resources] = Pool(dict(resources))
            for members, everybody in ((pool.idle, self.everybody.idle), (pool.open, self.everybody.open)):
                members.update((worker, None) for worker in everybody if pool.fits(worker))
        return pool

    # --- lanes that find nobody, and lanes that might ---

    def stick(self, lane: Lane) -> None:
        """It found nobody."""
        self.active.pop(lane, None)
        if lane.workers is None or not lane.strict:
            lane.pool.stuck[lane] = None
        for name in lane.workers or ():
            self._stuck_by_name.setdefault(name, {})[lane] = None

    def drop_if_empty(self, lane: Lane) -> bool:
        """Forget a lane without tasks. Returns whether it was one."""
        if lane.backlog.first() is not None:
            return False
        self.active.pop(lane, None)
        lane.pool.stuck.pop(lane, None)
        for name in lane.workers or ():
            if lane in self._stuck_by_name.get(name, ()):
                self._wake_named(name)
                self.active.pop(lane, None)
        signature = (lane.workers or frozenset(), not lane.strict, frozenset(lane.resources.items()))
        self.by_signature.pop(signature, None)
        return True

    def sweep(self) -> None:
        """Look at one lane in turn: those that are stuck may hold tasks that nobody wants any more."""
        if self.by_signature:
            signature, lane = next(iter(self.by_signature.items()))
            if not self.drop_if_empty(lane):
                self.by_signature.move_to_end(signature)

    def _wake_named(self, name: str) -> None:
        self.active.update(self._stuck_by_name.pop(name, {}))

    # --- workers ---

    def sort(self, worker: SchedWorker, *, idle: bool, open_: bool) -> None:
        """A worker has room, or not; it is the last in line for the next task."""
        everybody = self.everybody
        everybody.remove(worker)
        if idle:
            everybody.idle[worker] = None
        if open_:
            everybody.open[worker] = None
        if worker.resources:
            self._sort_into_pools(worker, idle, open_)
        if idle or open_:
            if everybody.stuck:
                self._wake(everybody)
            if self._stuck_by_name:
                for name in worker.names:
                    self._wake_named(name)

    def _sort_into_pools(self, worker: SchedWorker, idle: bool, open_: bool) -> None:
        for pool in self._pools.values():
            pool.remove(worker)
            if (idle or open_) and pool.fits(worker):
                if idle:
                    pool.idle[worker] = None
                if open_:
                    pool.open[worker] = None
                if pool.stuck:
                    self._wake(pool)

    def _wake(self, pool: Pool) -> None:
        self.active.update(pool.stuck)
        pool.stuck = {}

    def remove(self, worker: SchedWorker) -> None:
        """A worker left, or takes no more tasks."""
        self.everybody.remove(worker)
        for pool in self._pools.values():
            pool.remove(worker)

    def named(self, names: frozenset[str]) -> dict[SchedWorker, None]:
        """The workers that a restriction names, by name, by address or by host."""
        found: dict[SchedWorker, None] = {}
        for name in sorted(names):
            found.update(self._state.by_any_name.get(name, ()))
        return found


def is_named(worker: SchedWorker, names: frozenset[str]) -> bool:
    """True if a restriction names this worker, by name, by address or by host."""
    return not names.isdisjoint(worker.names)
