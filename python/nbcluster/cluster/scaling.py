"""How many workers an adapting cluster should have. Pure: looks come in, decisions go out.

    work ahead (seconds) / target duration / threads  ─▶  wanted  ─▶ more than now: at once
    but: no more than there are tasks to run                      └▶ fewer: after ``wait_count`` looks in a row,
         no fewer than one while results are kept                     and no fewer than the highest of them said

Growing is cheap to undo and waiting users notice it; shrinking moves data and loses warm caches. So the first look
that asks for more is believed, and only several in a row that ask for less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from nbcluster.commands import Adapt
from nbcluster.snapshot import ClusterView, TaskCounts, WorkerView

MEMORY_SHARE = 0.6
"""When results fill more than this share of the workers' memory, more workers are wanted to hold them."""


class Load(NamedTuple):
    """One look at a cluster."""

    workers: int
    """How many there should be now."""
    threads: int
    """Of each."""
    occupancy: float
    """Seconds of work that is assigned or queued, by what is known of durations."""
    running: int
    """Tasks assigned to workers."""
    waiting: int
    """Tasks that could run if there were room."""
    done: int
    """Tasks finished since the cluster started."""
    kept: int
    """Results in memory."""
    stored: int = 0
    """Bytes of them."""
    memory: int | None = None
    """Bytes that all workers may use; None if that is not limited."""

    @classmethod
    def of(cls, view: ClusterView) -> Load:
        """What a view tells of it."""
        return cls.made_of(
            view.requested, view.threads_per_worker, view.occupancy, view.tasks, view.workers, view.shared
        )

    @classmethod
    def made_of(
        cls,
        requested: int,
        threads: int,
        occupancy: float,
        tasks: TaskCounts,
        workers: Sequence[WorkerView],
        shared: int,
    ) -> Load:
        """The same without the rest of a view, which takes longer to make."""
        limits = [worker.memory_limit for worker in workers]
        return cls(
            workers=requested,
            threads=threads,
            occupancy=occupancy,
            running=tasks.processing,
            # More workers of the same kind help tasks that none can run only if there is none at all.
            waiting=tasks.queued if workers else tasks.queued + tasks.no_worker,
            done=tasks.done,
            kept=tasks.memory,
            stored=sum(worker.stored for worker in workers) + shared,
            memory=None if None in limits else sum(limit or 0 for limit in limits),
        )


class Decision(NamedTuple):
    """So many workers, and why."""

    workers: int
    reason: str


class Scaler:
    """The memory of one ``adapt()``: what was seen before.

    Args:
        options: its limits and its pace.
        capacity: the end of growth if ``options`` sets none.
    """

    def __init__(self, options: Adapt, capacity: int) -> None:
        self.options = options
        self.maximum = max(options.minimum, capacity) if options.maximum is None else options.maximum
        self._fewer: list[int] = []
        self._done_before: int | None = None

    def decide(self, load: Load) -> Decision:
        """What to do after this look."""
        wanted, reason = self.wanted(load)
        n = min(max(wanted, self.options.minimum), self.maximum)
        if n != wanted:
            limit = "minimum" if n > wanted else "maximum"
            reason = f"{reason}; {limit} is {n}"
        if n >= load.workers or load.workers > self.maximum:
            self._fewer.clear()
            return Decision(n, reason)
        self._fewer.append(n)
        if len(self._fewer) < self.options.wait_count:
            return Decision(
                load.workers,
                f"{n} would do ({reason}); shrinks if the next "
                f"{self.options.wait_count - len(self._fewer)} looks agree",
            )
        n = max(self._fewer)
        self._fewer.clear()
        return Decision(n, reason)

    def wanted(self, load: Load) -> Decision:
        """What this look asks for, limits apart."""
        wanted = self._for_work(load)
        self._done_before = load.done
        if load.memory and load.stored > MEMORY_SHARE * load.memory and 2 * load.workers > wanted.workers:
            share = f"{100 * load.stored / load.memory:.0f} %"
            wanted = Decision(2 * load.workers, f"results fill {share} of the memory")
        if wanted.workers == 0 and load.kept:
            wanted = Decision(1, f"one worker keeps {load.kept} results")
        return wanted

    def _for_work(self, load: Load) -> Decision:
        tasks = load.running + load.waiting
        if not tasks:
            return Decision(0, "nothing to do")
        room = math.ceil(tasks / load.threads)
        target = self.options.target_duration
        n = max(1, math.ceil(load.occupancy / target / load.threads))
        if n >= room:
            return Decision(room, f"{tasks} tasks to run at once")
        if self._stalled(load) and 2 * load.workers > n:
            n = min(room, 2 * load.workers)
            return Decision(n, f"no task has ended since the last look, and {load.waiting} wait")
        return Decision(n, f"{load.occupancy:.1f} s of work, to be done in {target:g} s")

    def _stalled(self, load: Load) -> bool:
        """True if tasks take longer than was believed: all threads are busy, none gets free, more wait."""
        return bool(
            load.waiting
            and load.workers
            and load.done == self._done_before
            and load.running >= load.workers * load.threads
        )
