"""What clients may see of the scheduler: one pure function of the state for each question."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nbcluster.protocol import inspection as i
from nbcluster.scheduler.explaining import explain
from nbcluster.scheduler.lanes import is_named
from nbcluster.scheduler.placement import Placement
from nbcluster.scheduler.state import MEMORY, STATE_NAMES, SchedTask, SchedulerState, SchedWorker
from nbcluster.scheduler.story import Transition


def answer(state: SchedulerState, placement: Placement, question: Any) -> i.AnyInspection:
    """Answer any question that the state alone can answer."""
    if isinstance(question, i.AskWhy):
        return explain(state, placement, question.key)
    return _ANSWERS[type(question)](state, question)


def chosen_workers(state: SchedulerState, names: list[str] | None) -> list[SchedWorker]:
    """Those that are named, by name or by address; None: all.

    Raises:
        ValueError: a name that no worker bears.
    """
    workers = list(state.workers.values())
    if names is None:
        return workers
    found = []
    for name in dict.fromkeys(names):
        one = frozenset([name])
        named = [worker for worker in workers if is_named(worker, one)]
        if not named:
            known = ", ".join(worker.address for worker in workers) or "there are none"
            raise ValueError(f"workers={names!r} names {name!r}, and no such worker is connected ({known})")
        found += [worker for worker in named if worker not in found]
    return found


def _holders(state: SchedulerState, question: i.AskHolders) -> i.Lists:
    tasks: Iterable[tuple[str, SchedTask | None]]
    if question.keys is None:
        tasks = [(task.key, task) for task in state.tasks.values() if task.state == MEMORY]
    else:
        tasks = [(key, state.tasks.get(key)) for key in question.keys]
    return i.Lists({key: [] if task is None else [worker.address for worker in task.who_has] for key, task in tasks})


def _holdings(state: SchedulerState, question: i.AskHoldings) -> i.Lists:
    workers = chosen_workers(state, question.workers)
    return i.Lists({worker.address: [task.key for task in worker.holds] for worker in workers})


def _processing(state: SchedulerState, question: i.AskProcessing) -> i.Lists:
    workers = chosen_workers(state, question.workers)
    return i.Lists({worker.address: [task.key for task in worker.processing.values()] for worker in workers})


def _sizes(state: SchedulerState, question: i.AskSizes) -> i.Sizes:
    if question.keys is None:
        tasks = [task for task in state.tasks.values() if task.state == MEMORY]
    else:
        known = (state.tasks.get(key) for key in question.keys)
        tasks = [task for task in known if task is not None and task.state == MEMORY]
    sizes: dict[str, int] = {}
    for task in tasks:
        name = task.prefix.name if question.summary else task.key
        sizes[name] = sizes.get(name, 0) + task.nbytes
    return i.Sizes(sizes)


def _story(state: SchedulerState, question: i.AskStory) -> i.StoryLines:
    names = frozenset(question.names)
    return i.StoryLines(_lines(state, (line for line in state.story if line[1] in names or line[4] in names)))


def _lines(state: SchedulerState, story: Iterable[Transition]) -> list[i.StoryLine]:
    return [
        i.StoryLine(state.now - time, key, STATE_NAMES[before], STATE_NAMES[after], stimulus)
        for time, key, before, after, stimulus in story
    ]


def _dump(state: SchedulerState, question: i.AskState) -> i.SchedulerDump:
    return i.SchedulerDump(
        [_dump_task(task) for task in state.tasks.values()],
        [_dump_worker(worker) for worker in state.workers.values()],
        {client.id: [task.key for task in client.wants] for client in state.clients.values()},
        _lines(state, state.story),
    )


def _dump_task(task: SchedTask) -> i.TaskDump:
    options, worker = task.options, task.processing_on
    return i.TaskDump(
        key=task.key,
        state=STATE_NAMES[task.state],
        prefix=task.prefix.name,
        dependencies=[needed.key for needed in task.dependencies],
        waiting_on=[needed.key for needed in task.waiting_on or ()],
        who_has=[holder.address for holder in task.who_has],
        who_wants=[client.id for client in task.who_wants],
        processing_on=None if worker is None else worker.address,
        nbytes=task.nbytes,
        type=task.type_name,
        priority=options.priority,
        retries=task.retries,
        suspicious=task.suspicious,
        worker_restrictions=options.workers,
        resource_restrictions=options.resources,
    )


def _dump_worker(worker: SchedWorker) -> i.WorkerSummary:
    return i.WorkerSummary(
        address=worker.address,
        name=worker.name,
        status=str(worker.status),
        pid=worker.pid,
        nthreads=worker.nthreads,
        memory_limit=worker.memory_limit,
        memory=worker.memory,
        resources=worker.resources,
        available=worker.available,
        occupancy=worker.occupancy,
        processing=[task.key for task in worker.processing.values()],
        holds=len(worker.holds),
    )


_ANSWERS: dict[type, Callable[[SchedulerState, Any], i.AnyInspection]] = {
    i.AskHolders: _holders,
    i.AskHoldings: _holdings,
    i.AskProcessing: _processing,
    i.AskSizes: _sizes,
    i.AskStory: _story,
    i.AskState: _dump,
}
