"""What a worker measures of itself, and tells only when it has changed."""

from __future__ import annotations

import time
from collections.abc import Callable

from nbcluster.process_memory import own_resident
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
        self._process = process
        self._last: WorkerMetrics | None = None
        self._cpu_sample = (time.monotonic(), time.process_time())

    def changed(self) -> WorkerMetrics | None:
        """The new figures; None if they are the old ones."""
        memory, cpu = 0, 0.0
        if self._process:
            memory = own_resident() // MEMORY_STEP * MEMORY_STEP
            cpu = float(round(self._cpu_percent()))
        metrics = WorkerMetrics(memory, self._stored(), cpu, self._executing(), self._spilled())
        if metrics == self._last:
            return None
        self._last = metrics
        return metrics

    def _cpu_percent(self) -> float:
        """Of one core, since it was asked last."""
        before, used_before = self._cpu_sample
        now, used = self._cpu_sample = (time.monotonic(), time.process_time())
        return 100.0 * (used - used_before) / (now - before) if now > before else 0.0
