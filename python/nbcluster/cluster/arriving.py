"""Waiting until workers are there."""

from __future__ import annotations

import asyncio

from nbcluster.commands import GetView, View
from nbcluster.engines.base import Engine
from nbcluster.errors import TimeoutError, WorkerStartTimeoutError
from nbcluster.types import Status

_PACE = 0.1
"""Seconds between two views at least."""


async def wait_for_workers(engine: Engine, n_workers: int, timeout: float | None) -> None:
    """Return when at least so many run.

    Raises:
        WorkerStartTimeoutError: they did not arrive within ``timeout`` seconds.
    """
    changed = asyncio.Event()
    unsubscribe = engine.subscribe(lambda _view: changed.set(), _PACE)
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout
    try:
        while True:
            answer = await engine.call(GetView())
            there = sum(w.status == Status.RUNNING for w in answer.cluster.workers) if isinstance(answer, View) else 0
            if there >= n_workers:
                return
            changed.clear()
            left = None if deadline is None else deadline - loop.time()
            try:
                if left is not None and left <= 0:
                    raise TimeoutError
                await asyncio.wait_for(changed.wait(), left)
            except asyncio.TimeoutError:
                raise WorkerStartTimeoutError(there, n_workers, timeout or 0.0) from None
    finally:
        unsubscribe()
