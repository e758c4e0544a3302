"""How much time threads spend idle although there is something to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.scale.engine import Engine

if TYPE_CHECKING:
    from tests.simulation.scale.worker import SimulatedWorker


class Meter:
    """Adds up thread-seconds, exactly: it is told of every change.

    A task *waits* from the moment at which the scheduler knows that it can run until a thread begins with it: queued
    with the scheduler, on its way, waiting for its data, or behind another task. A thread that is idle while a task
    waits is idle because of where tasks were placed. Threads of workers that were told to go do not count.
    """

    __slots__ = ("_busy", "_engine", "_last", "_ready", "_running", "_threads", "_unreported", "avoidable", "work")

    def __init__(self, engine: Engine) -> None:
        self.avoidable = 0.0
        """Thread-seconds idle while a task waited."""
        self.work = 0.0
        """Thread-seconds of runs that ended."""
        self._engine = engine
        self._last = 0.0
        self._threads = 0
        self._busy = 0
        """Of these threads."""
        self._running = 0
        """Of all threads."""
        self._unreported = 0
        """Runs that have ended, which the scheduler does not know yet."""
        self._ready = 0
        """Tasks that run or could run, as the scheduler believes."""

    def _elapse(self) -> None:
        elapsed = self._engine.now - self._last
        if elapsed:
            self._last = self._engine.now
            waiting = self._ready - self._running - self._unreported
            idle = self._threads - self._busy
            if waiting > 0 and idle > 0:
                self.avoidable += elapsed * (waiting if waiting < idle else idle)

    def worker_joined(self, worker: SimulatedWorker) -> None:
        """Its threads are there."""
        self._elapse()
        self._threads += worker.nthreads

    def worker_retires(self, worker: SimulatedWorker) -> None:
        """It takes no more tasks."""
        self._elapse()
        self._threads -= worker.nthreads
        self._busy -= len(worker.running)

    def worker_died(self, worker: SimulatedWorker) -> None:
        """Its threads are gone, and the runs in them."""
        self._elapse()
        self._running -= len(worker.running)
        if not worker.retiring:
            self._threads -= worker.nthreads
            self._busy -= len(worker.running)

    def run_began(self, worker: SimulatedWorker) -> None:
        """A thread has something to do."""
        self._elapse()
        self._running += 1
        if not worker.retiring:
            self._busy += 1

    def run_ended(self, worker: SimulatedWorker, seconds: float) -> None:
        """A thread is through with a run."""
        self._elapse()
        self._running -= 1
        self._unreported += 1
        self.work += seconds
        if not worker.retiring:
            self._busy -= 1

    def scheduler_knows(self, ready: int, reported: int) -> None:
        """The scheduler has handled an event: so many tasks run or could run, and so many ends were in it."""
        self._elapse()
        self._ready = ready
        self._unreported -= reported
