"""What the scheduler shows of itself: frozen views, made on demand from its state."""

from __future__ import annotations

from nbcluster.scheduler.placement import Placement
from nbcluster.scheduler.state import (
    ERRED,
    MEMORY,
    PROCESSING,
    QUEUED,
    RELEASED,
    WAITING,
    SchedulerState,
    SchedWorker,
)
from nbcluster.snapshot import PrefixView, TaskCounts, TaskRecord, WorkerView


def worker_view(worker: SchedWorker) -> WorkerView:
    """One worker."""
    return WorkerView(
        name=worker.name,
        address=worker.address,
        status=worker.status,
        pid=worker.pid,
        nthreads=worker.nthreads,
        memory_limit=worker.memory_limit,
        memory=worker.memory,
        stored=worker.stored,
        spilled=worker.spilled,
        cpu=worker.cpu,
        processing=len(worker.processing),
        executing=min(len(worker.processing), worker.nthreads),
        done=worker.done,
        resources=worker.resources,
        local_directory=worker.local_directory,
    )


def task_counts(state: SchedulerState, placement: Placement) -> TaskCounts:
    """All tasks by state."""
    sums = [0] * 7
    done = state.done_before
    for prefix in state.prefixes.values():
        done += prefix.done
        for index, count in enumerate(prefix.counts):
            sums[index] += count
    return _counts(sums, done, placement.unplaceable() if sums[QUEUED] else 0)


def prefix_views(state: SchedulerState) -> list[PrefixView]:
    """The tasks by function name, in the order in which the names were first seen."""
    return [
        PrefixView(name=prefix.name, counts=_counts(prefix.counts, prefix.done, 0), mean_duration=prefix.mean)
        for prefix in state.prefixes.values()
        if prefix.done or prefix.in_use
    ]


def _counts(counts: list[int], done: int, unplaceable: int) -> TaskCounts:
    return TaskCounts(
        released=counts[RELEASED],
        waiting=counts[WAITING],
        queued=counts[QUEUED] - unplaceable,
        no_worker=unplaceable,
        processing=counts[PROCESSING],
        memory=counts[MEMORY],
        erred=counts[ERRED],
        done=done,
    )


def occupancy(state: SchedulerState) -> float:
    """Seconds of work that is assigned, or queued and could run now."""
    unknown = state.settings.unknown_duration
    assigned = sum(worker.occupancy for worker in state.workers.values())
    queued = sum(
        prefix.counts[QUEUED] * (unknown if prefix.mean is None else prefix.mean) for prefix in state.prefixes.values()
    )
    return assigned + queued


def task_stream(state: SchedulerState, after: int, limit: int) -> list[TaskRecord]:
    """Completed runs after number ``after``; the latest ``limit`` of them."""
    return [TaskRecord(**run._asdict()) for run in state.stream.since(after, limit)]
