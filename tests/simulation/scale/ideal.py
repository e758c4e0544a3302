"""How fast it could go: a scheduler that knows all tasks from the beginning, and never has a thread wait for its word.

Any thread that is free takes the oldest task that can run, wherever its data is. But even so a task cannot begin
before word has come that those it depends on are done, and gone out again: one round trip later.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush, heapreplace

from nbcluster.types import Key
from tests.simulation.scale.workloads import StreamedTask


def ideal_makespan(tasks: Iterable[StreamedTask], threads: int, round_trip: float) -> float:
    """Seconds from the first submission until the client knows of the last result.

    Args:
        tasks: in the order of their submission; of any number, as long as they are independent.
        threads: of workers of speed 1.
        round_trip: from scheduler to worker and back, in seconds.
    """
    free = [0.0] * threads
    last = 0.0
    dependent: list[StreamedTask] = []
    stream = iter(tasks)
    for task in stream:
        if task.dependents or task.dependencies:
            dependent = [task, *stream]
            break
        last = max(last, free[0] + task.duration)
        heapreplace(free, free[0] + task.duration)
    if dependent:
        last = _with_dependencies(dependent, threads, round_trip)
    return last + 2 * round_trip  # the submission's way to the first thread, and the last result's way back


def _with_dependencies(tasks: list[StreamedTask], threads: int, round_trip: float) -> float:
    number_of: dict[Key, int] = {task.key: number for number, task in enumerate(tasks)}
    missing = [0] * len(tasks)
    dependents: list[list[int]] = [[] for _ in tasks]
    for number, task in enumerate(tasks):
        for key in task.dependencies:
            if key in number_of:
                missing[number] += 1
                dependents[number_of[key]].append(number)
    ready = [number for number, count in enumerate(missing) if not count]
    heapify(ready)
    changes: list[tuple[float, int, int]] = []
    """When a thread is through with a task (0), or a task becomes ready (1)."""
    now = 0.0
    while ready or changes:
        while ready and threads:
            number = heappop(ready)
            threads -= 1
            heappush(changes, (now + tasks[number].duration, 0, number))
        now, is_ready, number = heappop(changes)
        if is_ready:
            heappush(ready, number)
            continue
        threads += 1
        for other in dependents[number]:
            missing[other] -= 1
            if not missing[other]:
                heappush(changes, (now + round_trip, 1, other))
    return now
