"""Killing the workers of a cluster, one after the other, while something else goes on."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any


class Killer:
    """Sends SIGKILL to a random running worker every ``interval`` seconds, until it is stopped.

    Args:
        cluster: whose workers.
        interval: seconds between two kills.
        limit: how many kills at most.
    """

    def __init__(self, cluster: Any, interval: float, limit: int | None = None, seed: int = 0) -> None:
        self._cluster = cluster
        self._interval = interval
        self._limit = limit
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.killed: list[tuple[float, int]] = []
        """When, and whom (by pid)."""

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval) and len(self.killed) != self._limit:
            pids = [worker.pid for worker in self._cluster.workers.values() if worker.pid is not None]
            if pids:
                pid = self._random.choice(pids)
                self.killed.append((time.monotonic(), pid))
                kill(pid)


def kill(pid: int | None) -> None:
    """SIGKILL, to a process that may be gone already: a worker that is being replaced has none."""
    if pid is None:
        return
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it was quicker


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.monotonic()
    function()
    return time.monotonic() - began
