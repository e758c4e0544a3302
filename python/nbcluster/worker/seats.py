"""Who of a worker's threads may run tasks: each one that has a seat.

There are as many seats as the worker has threads. A task that waits for others gives its seat up (it *secedes*), and a
new thread takes it; a task that goes on afterwards *rejoins*: the next thread that has nothing to run, or is through
with a task, hands its seat over and ends. So the number of threads that compute stays what it was, however many wait.

A seat's number names its thread in the flight recorder. A thread that only waits is not on record there: no death of
the process is its task's fault.
"""

from __future__ import annotations

import threading
from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from nbcluster.types import Key, RunId

if TYPE_CHECKING:
    from nbcluster.worker.executor import Executor

MOST_THREADS = 4000
"""Threads that a worker may have, those included whose tasks wait."""


class Seat:
    """What one thread of a worker needs to run tasks."""

    __slots__ = ("executor", "key", "number", "run_id", "seceded", "since", "taken")

    def __init__(self, executor: Executor, number: int) -> None:
        self.executor = executor
        self.number = number
        self.taken = True
        """Whether it may run tasks now."""
        self.seceded = False
        """Whether the task that it runs has given it up in the meantime."""
        self.key: Key = ""
        """Of the task that it runs; empty between two."""
        self.run_id: RunId = 0
        self.since = 0.0
        """When its run began, by the monotonic clock."""

    def __repr__(self) -> str:
        return f"<Seat {self.number} of {self.key!r} taken={self.taken}>"

    def secede(self, *, waiting: bool = False) -> bool:
        """Give it up; ``waiting``: to do nothing until it is taken back. False if it was given up before."""
        return self.executor.secede(self, waiting)

    def rejoin(self) -> None:
        """Take a seat again; waits for one."""
        self.executor.rejoin(self)

    def resume(self) -> None:
        """Compute again without a seat: be on record."""
        self.executor.resume(self)


class Seats:
    """The numbers of threads, and those that want a seat again. Used under the executor's lock."""

    def __init__(self, nthreads: int) -> None:
        self.next_number = nthreads
        self._free: list[int] = []
        self.wanted: deque[tuple[Seat, threading.Lock]] = deque()

    def number(self) -> int | None:
        """The smallest number that no thread has; None if there are too many threads."""
        if self._free:
            return heappop(self._free)
        if self.next_number >= MOST_THREADS:
            return None
        self.next_number += 1
        return self.next_number - 1

    def give_back(self, number: int) -> None:
        """A thread has ended."""
        heappush(self._free, number)

    def want(self, seat: Seat) -> threading.Lock:
        """Queue for a seat; returns the latch that is released when it is there, or never will be."""
        latch = threading.Lock()
        latch.acquire()
        self.wanted.append((seat, latch))
        return latch

    def hand_over(self, seat: Seat) -> None:
        """Give this seat to whoever wants one first."""
        other, latch = self.wanted.popleft()
        seat.taken = False
        other.taken = True  # it may be the same
        latch.release()

    def close(self) -> None:
        """Nobody gets one any more."""
        while self.wanted:
            self.wanted.popleft()[1].release()
