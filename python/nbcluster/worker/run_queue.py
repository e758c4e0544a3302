"""Runs in the order of their priority: a heap for what comes out of turn, a plain queue for the rest.

The scheduler sends tasks in priority order, so nearly all of them are appended at one end and taken from the other,
at the same cost however many there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Any

from nbcluster.protocol.messages import ComputeTask
from nbcluster.types import Key, RunId

Inputs = dict[Key, Any]
Entry = tuple[tuple[float, int], RunId, ComputeTask, Inputs | None]
"""Priority, then run id, then what is never compared, because run ids differ."""


class RunQueue:
    """Not thread-safe: its owner has a lock."""

    __slots__ = ("_in_turn", "_out_of_turn", "_waiting")

    def __init__(self) -> None:
        self._in_turn: deque[Entry] = deque()
        self._out_of_turn: list[Entry] = []
        self._waiting: set[RunId] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, runs: Iterable[tuple[ComputeTask, Inputs | None]]) -> None:
        """Add runs."""
        in_turn, wait = self._in_turn, self._waiting.add
        for task, inputs in runs:
            run_id = task.run_id
            entry = (task.priority, run_id, task, inputs)
            if not in_turn or entry > in_turn[-1]:
                in_turn.append(entry)
            else:
                heappush(self._out_of_turn, entry)
            wait(run_id)

    def pop(self) -> Entry | None:
        """Take the run with the smallest priority, the oldest of equals; None if there is none."""
        in_turn, out_of_turn, waiting = self._in_turn, self._out_of_turn, self._waiting
        while in_turn or out_of_turn:
            if not out_of_turn or (in_turn and in_turn[0] < out_of_turn[0]):
                entry = in_turn.popleft()
            else:
                entry = heappop(out_of_turn)
            if entry[1] in waiting:  # else it was withdrawn
                waiting.remove(entry[1])
                return entry
        return None

    def withdraw(self, run_ids: Iterable[RunId]) -> list[RunId]:
        """Remove runs. Returns those that were there."""
        withdrawn = [run_id for run_id in run_ids if run_id in self._waiting]
        self._waiting.difference_update(withdrawn)
        if not self._waiting:
            self.clear()
        return withdrawn

    def clear(self) -> None:
        """Remove all."""
        self._in_turn.clear()
        self._out_of_turn.clear()
        self._waiting.clear()
