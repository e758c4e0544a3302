"""What is true of the scheduler's state between any two events. Checked by tests and by the simulator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from nbcluster.scheduler.coordination import invariants as coordination
from nbcluster.scheduler.core import SchedulerCore
from nbcluster.scheduler.state import (
    ERRED,
    FORGOTTEN,
    MEMORY,
    PROCESSING,
    QUEUED,
    RELEASED,
    STATE_NAMES,
    WAITING,
    SchedTask,
    SchedulerState,
)


class InvariantError(AssertionError):
    """The state contradicts itself."""


def check(core: SchedulerCore) -> None:
    """Recount everything.

    Raises:
        InvariantError: says all that is wrong.
    """
    state = core.state
    wrong = [
        *_tasks(state, core),
        *_workers(state),
        *_clients(state),
        *_counts(state),
        *coordination.check(core.coordination),
    ]
    if wrong:
        raise InvariantError("\n".join(wrong))


def _tasks(state: SchedulerState, core: SchedulerCore) -> Iterator[str]:
    queued, put_off = set(core.placement.queued()), set(core.put_off)
    for key, task in state.tasks.items():
        if task.key != key:
            yield f"{key}: is filed under another key than {task.key}"
        if task.state == FORGOTTEN:
            yield f"{key}: forgotten, and still there"
        if (task.state == PROCESSING) != (task.processing_on is not None):
            yield f"{key}: {STATE_NAMES[task.state]} on {task.processing_on}"
        if task.state == QUEUED and task not in queued:
            yield f"{key}: queued in no lane"
        if (task.state == MEMORY) != bool(task.who_has or task.payload is not None):
            yield f"{key}: {STATE_NAMES[task.state]}, held by {set(task.who_has)}, payload {task.payload}"
        if (task.state == ERRED) != (task.failure is not None):
            yield f"{key}: {STATE_NAMES[task.state]} with failure {task.failure}"
        if not task.needed and task.state != RELEASED and task not in put_off:
            yield f"{key}: {STATE_NAMES[task.state]}, and nobody needs it"
        if not task.needed and not task.dependents and task not in put_off:
            yield f"{key}: nobody needs it, no lineage holds it, and it is still there"
        if task.needed and task.state == RELEASED and key not in state.scattering:
            yield f"{key}: needed, and nobody computes it"
        yield from _edges(task)


def _edges(task: SchedTask) -> Iterator[str]:
    running = task.state in (WAITING, QUEUED, PROCESSING)
    for dependency in task.dependencies:
        if task not in (dependency.dependents or ()):
            yield f"{task.key}: unknown to its dependency {dependency.key}"
        if (task in (dependency.waiters or ())) != running:
            yield f"{task.key}: {STATE_NAMES[task.state]}, waiting for {dependency.key}: {not running}"
    missing = {d for d in task.dependencies if d.state != MEMORY}
    if task.state == WAITING and set(task.waiting_on or ()) != missing:
        yield f"{task.key}: waits for {task.waiting_on}, and not there is {missing}"
    if task.state == QUEUED and missing:
        yield f"{task.key}: queued without {missing}"
    for waiter in task.waiters or ():
        if task not in waiter.dependencies:
            yield f"{task.key}: awaited by {waiter.key}, which does not depend on it"


def _workers(state: SchedulerState) -> Iterator[str]:
    holders: dict[SchedTask, set[object]] = {}
    for worker in state.workers.values():
        for run_id, task in worker.processing.items():
            if task.processing_on is not worker or task.run_id != run_id:
                yield f"{worker.name}: run {run_id} of {task.key} is no longer its own"
        for run_id, task in worker.long_running.items():
            if worker.processing.get(run_id) is not task:
                yield f"{worker.name}: {task.key} has seceded in run {run_id}, which is not its own"
        for task in worker.holds:
            holders.setdefault(task, set()).add(worker)
        expected = sum(task.estimate for task in worker.processing.values())
        if abs(worker.occupancy - expected) > 1e-6 * max(1.0, expected):
            yield f"{worker.name}: occupancy {worker.occupancy}, and its tasks add up to {expected}"
        for name, amount in worker.resources.items():
            used = sum(t.options.resources.get(name, 0) for t in worker.processing.values())
            if abs(worker.available[name] - (amount - used)) > 1e-9:
                yield f"{worker.name}: {worker.available[name]} of {name} available, {used} of {amount} in use"
    for task in state.tasks.values():
        if set(task.who_has) != holders.pop(task, set()):
            yield f"{task.key}: held by {set(task.who_has)}, and not every one of them knows"
    if holders:
        yield f"workers hold what nobody knows: {holders}"


def _clients(state: SchedulerState) -> Iterator[str]:
    for client in state.clients.values():
        for task in client.wants:
            if client not in task.who_wants:
                yield f"{client.id}: wants {task.key}, which does not know"
            if state.tasks.get(task.key) is not task:
                yield f"{client.id}: wants {task.key}, which is not there"
        if client.pushed != sum(client.wants.values()):
            yield f"{client.id}: {client.pushed} bytes pushed, and the parts add up to {sum(client.wants.values())}"
    for task in state.tasks.values():
        for client in task.who_wants:
            if task not in client.wants:
                yield f"{task.key}: wanted by {client.id}, which does not know"


def _counts(state: SchedulerState) -> Iterator[str]:
    functions = Counter(task.function for task in state.tasks.values() if task.function is not None)
    known = {function: record.tasks for function, record in state.functions.items()}
    if functions != known:
        yield f"functions in use {dict(functions)}, counted {known}"
    for function, record in state.functions.items():
        having = {worker for worker in state.workers.values() if function in worker.functions}
        if having != set(record.workers):
            yield f"{function!r}: {having} have it, and known is {set(record.workers)}"
    for prefix in state.prefixes.values():
        counts = Counter(task.state for task in state.tasks.values() if task.prefix is prefix)
        if [counts[index] for index in range(len(STATE_NAMES))] != prefix.counts:
            yield f"{prefix.name}: counted {prefix.counts}, and there are {dict(counts)}"
    inlined = sum(t.payload.sent_nbytes for t in state.tasks.values() if t.payload is not None)
    if inlined != state.inlined_bytes:
        yield f"{inlined} bytes of small results are kept, and {state.inlined_bytes} were counted"
