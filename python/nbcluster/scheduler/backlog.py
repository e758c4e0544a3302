"""Queued tasks by priority, then by place: a heap for what comes out of turn, plain queues for the rest.

Most tasks are queued in the order in which they are to run, and so cost the same however many there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

from nbcluster.scheduler.state import QUEUED, SchedTask

Entry = tuple[float, int, SchedTask]
"""Priority, smaller first; then the place in line that the task had."""


class Backlog:
    """Tasks that leave the queue by another way stay here until it is their turn, and are then passed over."""

    __slots__ = ("_in_turn", "_out_of_turn")

    def __init__(self) -> None:
        self._in_turn: deque[tuple[float, deque[SchedTask]]] = deque()
        """Tasks of one priority each, never none, in the order in which they are to run."""
        self._out_of_turn: list[Entry] = []

    def push(self, priority: float, tasks: Sequence[SchedTask]) -> None:
        """Add tasks of one priority."""
        if not tasks:
            return
        if len(tasks) == 1 or _are_in_order(tasks):
            if self._comes_last(priority, tasks[0]):
                self._append(priority, tasks)
            else:
                for task in tasks:
                    heappush(self._out_of_turn, (priority, task.place, task))
        else:
            for task in tasks:
                self.push(priority, (task,))

    def _comes_last(self, priority: float, task: SchedTask) -> bool:
        if not self._in_turn:
            return True
        least, line = self._in_turn[-1]
        last = line[-1]
        return (least, last.place, last.order) < (priority, task.place, task.order)

    def _append(self, priority: float, tasks: Sequence[SchedTask]) -> None:
        in_turn = self._in_turn
        if in_turn and in_turn[-1][0] == priority:
            in_turn[-1][1].extend(tasks)
        else:
            in_turn.append((priority, deque(tasks)))

    def first(self) -> Entry | None:
        """Who is next, if there is anybody."""
        in_turn, out_of_turn = self._in_turn, self._out_of_turn
        if not in_turn and not out_of_turn:
            return None
        while in_turn and in_turn[0][1][0].state != QUEUED:
            self._shift()
        while out_of_turn and out_of_turn[0][2].state != QUEUED:
            heappop(out_of_turn)
        entries = out_of_turn[:1]
        if in_turn:
            priority, line = in_turn[0]
            entries.append((priority, line[0].place, line[0]))
        return min(entries, default=None)

    def _shift(self) -> SchedTask:
        line = self._in_turn[0][1]
        task = line.popleft()
        if not line:
            self._in_turn.popleft()
        return task

    def pop(self) -> SchedTask | None:
        """Take who is next."""
        if not self._out_of_turn:
            while self._in_turn:
                task = self._shift()
                if task.state == QUEUED:
                    return task
            return None
        first = self.first()
        if first is None:
            return None
        if self._out_of_turn and self._out_of_turn[0] is first:
            return heappop(self._out_of_turn)[2]
        return self._shift()

    def more_like(self, task: SchedTask, most: int) -> list[SchedTask]:
        """Take those who are next as long as they bear the name of this one, the one before; so many at most."""
        taken: list[SchedTask] = []
        if self._out_of_turn:
            return taken
        in_turn, prefix = self._in_turn, task.prefix
        while in_turn and len(taken) < most:
            line = in_turn[0][1]
            while line and len(taken) < most and (one := line[0]).prefix is prefix:
                line.popleft()
                if one.state == QUEUED:
                    taken.append(one)
            if line:
                break
            in_turn.popleft()
        return taken

    @property
    def next_in_turn(self) -> int:
        """How many of the priority that comes next wait in turn, with those that are to be passed over."""
        return len(self._in_turn[0][1]) if self._in_turn else 0

    def __iter__(self) -> Iterator[SchedTask]:
        """In no particular order."""
        tasks = [task for _, line in self._in_turn for task in line]
        tasks += [task for _, place, task in self._out_of_turn if task.place == place]
        return (task for task in dict.fromkeys(tasks) if task.state == QUEUED)


def _are_in_order(tasks: Sequence[SchedTask]) -> bool:
    places, orders = [task.place for task in tasks], [task.order for task in tasks]
    return places == sorted(places) and orders == sorted(orders)
