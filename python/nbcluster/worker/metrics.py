"""What a worker measures of itself, and tells only when it has changed."""

from __future__ import annotations

from collections.abc import Callable

import psutil

from nbcluster.protocol.messages import WorkerMetrics

MEMORY_STEP = 1 << 20


class Metrics:
    """Takes a measurement at each call of :meth:`changed`.

    Args:
        stored: tells the bytes of the results that are held.
        executing: tells how many tasks are running.
        spilled: tells the bytes of results on disk.
        process: whether this process is the worker; one among others in a process has no memory of its own.
    """

    def __init__(
        self, stored: Callable[[], int], executing: Callable[[], int], spilled: Callable[[], int], *, process: bool
    ) -> None:
        self._stored = stored
        self._executing = executing
        self._spilled = spilled
        self._process = psutil.Process() if process else None
        self._last: WorkerMetrics | None = None
        if self._process is not None:
            self._process.cpu_percent()  # the first call only begins the measurement

    def changed(self) -> WorkerMetrics | None:
        """The new figures; None if they are the old ones."""
        memory, cpu = 0, 0.0
        if self._process is not None:
            with self._process.oneshot():
                memory = self._process.memory_info().rss // MEMORY_STEP * MEMORY_STEP
                cpu = float(round(self._process.cpu_percent()))
        metrics = WorkerMetrics(memory, self._stored(), cpu, self._executing(), self._spilled())
        if metrics == self._last:
            return None
        self._last = metrics
        return metrics
