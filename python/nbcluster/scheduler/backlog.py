"""Queued tasks by priority, then by place: a heap for what comes out of turn, a plain queue for the rest.

Most tasks are queued in the order in which they are to run, and so cost the same however many there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import chain

from nbcluster.scheduler.state import QUEUED, SchedTask

Entry = tuple[float, int, SchedTask]
"""Priority, smaller first; then the place in line that the task had."""


class Backlog:
    """Tasks that leave the queue by another way stay here until it is their turn, and are then passed over."""

    __slots__ = ("_in_turn", "_out_of_turn")

    def __init__(self) -> None:
        self._in_turn: deque[Entry] = deque()
        self._out_of_turn: list[Entry] = []

    def push(self, priority: float, tasks: Iterable[SchedTask]) -> None:
        """Add tasks of one priority."""
        in_turn, out_of_turn = self._in_turn, self._out_of_turn
        for task in tasks:
            entry = (priority, task.place, task)
            if not in_turn or in_turn[-1] < entry:
                in_turn.append(entry)
            else:
                heappush(out_of_turn, entry)

    def first(self) -> Entry | None:
        """Who is next, if there is anybody."""
        in_turn, out_of_turn = self._in_turn, self._out_of_turn
        while in_turn and in_turn[0][2].state != QUEUED:
            in_turn.popleft()
        while out_of_turn and out_of_turn[0][2].state != QUEUED:
            heappop(out_of_turn)
        if not out_of_turn:
            return in_turn[0] if in_turn else None
        return min(in_turn[0], out_of_turn[0]) if in_turn else out_of_turn[0]

    def pop(self) -> SchedTask | None:
        """Take who is next."""
        in_turn, out_of_turn = self._in_turn, self._out_of_turn
        while in_turn or out_of_turn:
            if not out_of_turn or (in_turn and in_turn[0] < out_of_turn[0]):
                task = in_turn.popleft()[2]
            else:
                task = heappop(out_of_turn)[2]
            if task.state == QUEUED:
                return task
        return None

    def __iter__(self) -> Iterator[SchedTask]:
        """In no particular order."""
        entries = chain(self._in_turn, self._out_of_turn)
        return (task for _, place, task in entries if task.state == QUEUED and task.place == place)
