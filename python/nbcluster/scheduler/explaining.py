"""Why is this task not done? Answered from what the scheduler knows; no event, no change, only a look."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from nbcluster.protocol import explanation as why
from nbcluster.protocol.explanation import Explanation, Past, Situation
from nbcluster.protocol.messages import Killed, Lost, Raised
from nbcluster.scheduler.lanes import is_named
from nbcluster.scheduler.placement import Placement
from nbcluster.scheduler.state import (
    ERRED,
    MEMORY,
    PROCESSING,
    QUEUED,
    RELEASED,
    WAITING,
    SchedTask,
    SchedulerState,
    SchedWorker,
)
from nbcluster.types import Key, Status

_SHOWN = 20
_ROOTS_SHOWN = 5
_MOST_VISITED = 100_000
"""Of a graph's tasks, on the way to its roots."""


def explain(state: SchedulerState, placement: Placement, key: Key) -> Explanation:
    """Say where a task stands, and where those stand that it waits for."""
    task = state.tasks.get(key)
    if task is None:
        return Explanation(Situation(key, why.UNKNOWN, past=_past(state, key, None)[1]))
    situation = _situation(state, placement, task)
    if task.state != WAITING:
        return Explanation(situation)
    waiting_on = list(task.waiting_on or ())
    roots = _roots(waiting_on)
    return Explanation(
        situation,
        [needed.key for needed in waiting_on[:_SHOWN]],
        len(waiting_on),
        [_situation(state, placement, root) for root in roots[:_ROOTS_SHOWN]],
        len(roots),
    )


def _roots(waiting_on: Iterable[SchedTask]) -> list[SchedTask]:
    """Those that wait for no other; those closest to being done come first."""
    seen: dict[SchedTask, None] = {}
    stack = list(waiting_on)
    roots = []
    while stack and len(seen) < _MOST_VISITED:
        task = stack.pop()
        if task in seen:
            continue
        seen[task] = None
        if task.state == WAITING and task.waiting_on:
            stack.extend(task.waiting_on)
        else:
            roots.append(task)
    return sorted(roots, key=lambda task: (task.state != PROCESSING, task.order))


def _situation(state: SchedulerState, placement: Placement, task: SchedTask) -> Situation:
    key = task.key
    since, past = _past(state, key, task)
    if task.state == RELEASED:
        return Situation(key, why.SCATTERING if key in state.scattering else why.UNNEEDED, past=past)
    if task.state == WAITING:
        return Situation(key, why.WAITING, since, past=past)
    if task.state == QUEUED:
        return _queued(state, placement, task, since, past)
    if task.state == PROCESSING:
        worker = task.processing_on
        assert worker is not None
        ahead = _ahead_on(worker, task)
        return Situation(key, why.ASSIGNED, since, worker.address, str(worker.name), ahead, past=past)
    if task.state == MEMORY:
        holders = [worker.address for worker in islice(task.who_has, _SHOWN)]
        return Situation(key, why.FINISHED, since, workers=holders, past=past)
    assert task.state == ERRED
    return Situation(key, why.ERRED, since, detail=_failure(task), blamed=task.blamed, past=past)


def _failure(task: SchedTask) -> str:
    failure = task.failure
    if isinstance(failure, Killed):
        return f"{failure.attempts} workers died while they ran it; the last, {failure.worker}, {failure.cause}"
    if isinstance(failure, Lost):
        where = f"with worker {failure.worker}, " if failure.worker else ""
        return f"its data was lost {where}and nothing can compute it again"
    return "it raised an exception" if isinstance(failure, Raised) else ""


def _queued(state: SchedulerState, placement: Placement, task: SchedTask, since: float | None, past: Past) -> Situation:
    options, key = task.options, task.key
    workers = list(state.workers.values())
    names = list(options.workers or ()) if not options.allow_other_workers else []
    if not workers:
        return Situation(key, why.NO_WORKERS, since, past=past)
    if names:
        chosen = frozenset(names)
        workers = [worker for worker in workers if is_named(worker, chosen)]
        if not workers:
            return Situation(key, why.NO_SUCH_WORKER, since, workers=names, past=past)
    resources = {name: amount for name, amount in options.resources.items() if amount}
    able = [worker for worker in workers if _has(worker.resources, resources)]
    if not able:
        return Situation(key, why.NO_RESOURCE, since, workers=names, resources=resources, past=past)
    running = [worker for worker in able if worker.status == Status.RUNNING]
    if not running:
        paused = [worker for worker in able if worker.status == Status.PAUSED]
        listed = [str(worker.name) for worker in paused or able]
        return Situation(key, why.PAUSED if paused else why.RETIRING, since, workers=listed, past=past)
    ahead = _ahead(placement, task)
    if not any(_has(worker.available, resources) for worker in running):
        return Situation(key, why.RESOURCE_IN_USE, since, ahead=ahead, resources=resources, past=past)
    return Situation(key, why.QUEUED, since, ahead=ahead, workers=names, past=past)


def _has(resources: dict[str, float], needed: dict[str, float]) -> bool:
    return all(resources.get(name, 0) >= amount for name, amount in needed.items())


def _ahead_on(worker: SchedWorker, task: SchedTask) -> int:
    """How many of a worker's tasks come first: those that may have started, and what it is to start before."""
    before = (other for other in worker.processing.values() if other.run_id < task.run_id)
    return sum(
        place < worker.nthreads or other.options.priority >= task.options.priority for place, other in enumerate(before)
    )


def _ahead(placement: Placement, task: SchedTask) -> int:
    """How many queued tasks that the same workers might run come first."""
    mine = (-task.options.priority, task.place, task.order)
    return sum((-other.options.priority, other.place, other.order) < mine for other in placement.queued())


def _past(state: SchedulerState, key: Key, task: SchedTask | None) -> tuple[float | None, Past]:
    """For how long it has been where it is, and what happened before, as far as the story goes."""
    entered: float | None = None
    rerun = lost = 0
    for time, name, before, after, stimulus in state.story:
        if name != key:
            continue
        entered = time
        if before == PROCESSING and after in (QUEUED, WAITING) and stimulus in _GIVEN_BACK:
            rerun += 1
        elif before == MEMORY and stimulus in _LOSSES:
            lost += 1
    seconds = None if entered is None else max(0.0, state.now - entered)
    if task is None:
        return seconds, Past(rerun=rerun, lost=lost)
    retried = max(0, task.options.retries - task.retries)
    return seconds, Past(retried, task.retries, rerun, task.suspicious, lost)


_GIVEN_BACK = frozenset({"TaskRescheduled", "TaskReturned"})
_LOSSES = frozenset({"WorkerLeft", "ReportMissing", "TaskReturned", "ReplicasFailed"})
