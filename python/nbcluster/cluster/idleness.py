"""``idle_timeout``: a cluster that has had nothing to do for so long closes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from nbcluster.snapshot import TaskCounts


async def wait_until_idle(counts: Callable[[], TaskCounts], timeout: float) -> None:
    """Return when no task has run, waited or ended for ``timeout`` seconds.

    Args:
        counts: tells how many tasks are in which state.
        timeout: seconds.
    """
    since, done = time.monotonic(), -1
    while True:
        now, tasks = time.monotonic(), counts()
        if tasks.done != done or tasks.processing or tasks.queued or tasks.waiting or tasks.no_worker:
            since, done = now, tasks.done
        if now - since >= timeout:
            return
        await asyncio.sleep(min(0.25, timeout / 4))
