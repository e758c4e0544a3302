"""A worker's only thread reads its next task from the scheduler's link itself, when one task comes after the other.

    the loop reads ── single tasks have come SHORTLY one after the other ──▶ lent: the thread reads, runs, tells
                   ◀── anything else arrives, nothing does for PATIENCE, a task takes longer than a TICK ──┘

So a task that somebody waits for wakes one thread here, not two. The loop hears what the thread has done when it next
looks: at each tick, and before it deals with anything that may refer to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from nbcluster.comm.base import Connection
from nbcluster.comm.loan import Loan
from nbcluster.protocol.messages import Compute, ComputeTask, FreeKeys
from nbcluster.worker.events import TakenUp

logger = logging.getLogger(__name__)

SHORTLY = 0.005
"""Seconds from one task to the next, if they are to be in a row."""

ROW = 3
"""So many single tasks in a row, and the link is lent."""

PATIENCE = 0.02
"""Seconds for which the thread waits for the next task."""

TICK = 0.005
"""Seconds between two looks whether the thread still reads: for so long a message waits for the end of a task."""

SETTLED_IN = 1.0
"""Seconds that somebody who looks at what is known waits for the loop, at most."""


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
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._task: ComputeTask | None = None
        self._row = 0
        self._last = 0.0

    # --- on the loop ---

    def is_due(self, messages: Sequence[Any], idle: bool) -> bool:
        """True if the link is to be lent, once what the loop has read has been dealt with.

        Args:
            messages: what arrived together.
            idle: nothing else waits or runs here: nothing but these messages will have to reach the thread.
        """
        if not _are_plain(messages) or not idle:
            self._row = 0
        elif any(type(message) is Compute for message in messages):
            now = time.monotonic()
            self._row = self._row + 1 if now - self._last < SHORTLY else 1
            self._last = now
        if self._row < ROW:
            return False
        self._row = 0
        return True

    def lend(self, is_parked: Callable[[], bool]) -> None:
        """Have the thread read, unless it has gone to sleep already."""
        self._loan.begin(TICK)
        if is_parked():
            self._loan.end()

    # --- in any thread ---

    def settle(self) -> None:
        """Have the loop deal with what was noted, and wait for that: for long only if the loop is gone or held up."""
        if threading.get_ident() == self._loop_thread:
            self._look()
            return
        heard = threading.Event()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._settle, heard)
            heard.wait(SETTLED_IN)

    def _settle(self, heard: threading.Event) -> None:
        self._look()
        heard.set()

    # --- in the thread ---

    @property
    def is_lent(self) -> bool:
        """Whether the thread is to read. What the loop had read before that has been dealt with."""
        return self._loan.lending is not None

    def next_task(self) -> ComputeTask | None:
        """Read the next task; None if the loop is to read on."""
        lending = self._loan.lending
        try:
            if lending is not None and lending.read(self._take, lambda: self._task is not None, PATIENCE):
                task, self._task = self._task, None
                return task
        except Exception:  # memory is short, for example: the loop has its own ways to deal with that
            logger.exception("A thread could not read its next task")
        with contextlib.suppress(RuntimeError):  # the loop is closed
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
            if tasks or len(message.tasks) != 1:
                return False
            [task] = message.tasks
            if task.dependencies or task.frames or task.actor:
                return False
            tasks = 1
        elif type(message) is not FreeKeys:
            return False
    return True
