"""A worker's only thread reads its next task from the scheduler's link itself, when one task comes after the other.

    the loop reads ── single tasks have come SHORTLY one after the other ──▶ lent: the thread reads, runs, tells
                   ◀── anything else arrives, nothing does for PATIENCE, a task takes longer than a TICK ──┘

So a task that somebody waits for wakes one thread here, not two. The loop hears what the thread has done when it next
looks: at each tick, and before it deals with anything that may refer to it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from nbcluster.comm.base import Connection
from nbcluster.comm.loan import Loan
from nbcluster.protocol.messages import Compute, ComputeTask, FreeKeys
from nbcluster.worker.events import TakenUp

SHORTLY = 0.005
"""Seconds from one task to the next, if they are to be in a row."""

ROW = 3
"""So many single tasks in a row, and the link is lent."""

PATIENCE = 0.02
"""Seconds for which the thread waits for the next task."""

TICK = 0.005
"""Seconds between two looks whether the thread still reads: for so long a message waits for the end of a task."""


class OwnReading:
    """Who reads a worker's link.

    Args:
        connection: the scheduler's.
        note: takes what the thread has read, in order, until the loop looks.
        look: has the loop deal with what was noted.
    """

    def __init__(
        self, connection: Connection, note: Callable[[TakenUp | FreeKeys], object], look: Callable[[], object]
    ) -> None:
        self._note = note
        self._loan = Loan(connection, look)
        self._loop = asyncio.get_running_loop()
        self._task: ComputeTask | None = None
        self._row = 0
        self._last = 0.0

    # --- on the loop ---

    def arrived(self, messages: Sequence[Any], idle: bool) -> None:
        """The loop has read these, and has done nothing about them yet.

        Args:
            messages: what arrived together.
            idle: nothing else waits or runs here: nothing but these messages will have to reach the thread.
        """
        if not _are_plain(messages) or not idle:
            self._row = 0
        elif (now := time.monotonic()) and any(type(message) is Compute for message in messages):
            self._row = self._row + 1 if now - self._last < SHORTLY else 1
            self._last = now
            if self._row >= ROW:
                self._row = 0
                self._loan.begin(TICK)

    # --- in the thread ---

    def next_task(self) -> ComputeTask | None:
        """Read the next task; None if the loop is to read on."""
        lending = self._loan.lending
        if lending is None:
            return None
        if lending.read(self._take, lambda: self._task is not None, PATIENCE):
            task, self._task = self._task, None
            return task
        self._loop.call_soon_threadsafe(self._loan.end)
        return None

    def _take(self, messages: list[Any]) -> bool:
        if not _are_plain(messages):
            return False
        for message in messages:
            if type(message) is FreeKeys:
                self._note(message)
            else:
                [self._task] = message.tasks
                self._note(TakenUp(message.tasks[0]))
        return True


def _are_plain(messages: Sequence[Any]) -> bool:
    """True for one task that needs nothing but its thread, and keys that are to be freed."""
    tasks = 0
    for message in messages:
        if type(message) is Compute:
            tasks += len(message.tasks)
            if tasks > 1:
                return False
            for task in message.tasks:
                if task.dependencies or task.frames or task.actor:
                    return False
        elif type(message) is not FreeKeys:
            return False
    return True
