"""How fast it could go: a scheduler that knows all tasks from the beginning, and never has a thread wait for its word.

Any thread that is free, the fastest first, takes the oldest task that can run, wherever its data is. But even so a task
cannot begin before word has come that those it depends on are done, and gone out again: one round trip later.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from heapq import heapify, heappop, heappush, heapreplace

from nbcluster.types import Key
from tests.simulation.scale.cluster import Life
from tests.simulation.scale.workloads import StreamedTask


def ideal_makespan(tasks: Iterable[StreamedTask], lives: list[Life], threads: int, round_trip: float) -> float:
    """Seconds from the first submission until the client knows of the last result.

    Args:
        tasks: in the order of their submission; of any number, if they are independent and workers are equal.
        lives: of all workers.
        threads: of each of them.
        round_trip: from scheduler to worker and back, in seconds.
    """
    equal = all(life == Life(0.0, 1.0) for life in lives)
    last = 0.0
    free = [0.0] * (threads * len(lives))
    stream = iter(tasks)
    for task in stream:
        if task.dependents or task.dependencies or not equal:
            last = _Greedy([task, *stream], [life for life in lives for _ in range(threads)], round_trip).run()
            break
        end = free[0] + task.duration
        last = max(last, end)
        heapreplace(free, end)
    return last + 2 * round_trip  # the submission's way to the first thread, and the last result's way back


_ENDS, _READY, _JOINS, _LEAVES = range(4)


class _Greedy:
    """Goes from change to change."""

    def __init__(self, tasks: list[StreamedTask], threads: list[Life], round_trip: float) -> None:
        self._durations = [task.duration for task in tasks]
        self._threads = threads
        self._round_trip = round_trip
        self._missing = [0] * len(tasks)
        self._dependents: list[list[int]] = [[] for _ in tasks]
        number_of: dict[Key, int] = {task.key: number for number, task in enumerate(tasks)}
        for number, task in enumerate(tasks):
            for key in task.dependencies:
                if key in number_of:  # else it is data that is there already
                    self._missing[number] += 1
                    self._dependents[number_of[key]].append(number)
        self._ready = [number for number, count in enumerate(self._missing) if not count]
        heapify(self._ready)
        self._changes = [(life.joined, _JOINS, thread, 0) for thread, life in enumerate(threads)]
        self._changes += [
            (life.left, _LEAVES, thread, 0) for thread, life in enumerate(threads) if life.left < math.inf
        ]
        heapify(self._changes)
        self._free: list[tuple[float, int]] = []
        self._running: dict[int, int] = {}
        """Task by thread."""
        self._gone: set[int] = set()

    def run(self) -> float:
        """Returns when the last task ended."""
        left, now = len(self._durations), 0.0
        while left:
            now, kind, thread, number = heappop(self._changes)
            if kind == _ENDS:
                left -= self._end(now, thread, number)
            elif kind == _READY:
                heappush(self._ready, number)
            elif kind == _JOINS:
                heappush(self._free, (-self._threads[thread].speed, thread))
            else:
                self._leave(thread)
            if not self._changes or self._changes[0][0] > now:  # else more happens at this moment
                self._assign(now)
        return now

    def _assign(self, now: float) -> None:
        ready, free = self._ready, self._free
        while ready and free:
            minus_speed, thread = heappop(free)
            if thread not in self._gone:
                number = self._running[thread] = heappop(ready)
                heappush(self._changes, (now - self._durations[number] / minus_speed, _ENDS, thread, number))

    def _end(self, now: float, thread: int, number: int) -> int:
        if self._running.get(thread) != number:
            return 0  # its worker had crashed
        del self._running[thread]
        if thread not in self._gone:
            heappush(self._free, (-self._threads[thread].speed, thread))
        for other in self._dependents[number]:
            self._missing[other] -= 1
            if not self._missing[other]:
                heappush(self._changes, (now + self._round_trip, _READY, 0, other))
        return 1

    def _leave(self, thread: int) -> None:
        self._gone.add(thread)
        if self._threads[thread].crashed and thread in self._running:
            heappush(self._ready, self._running.pop(thread))
