"""Waiting until workers are there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nbcluster.commands import GetView, View
from nbcluster.deadlines import within
from nbcluster.engines.base import Engine
from nbcluster.errors import ClusterError, WorkerStartTimeoutError
from nbcluster.snapshot import WorkerView
from nbcluster.types import Status

_PACE = 0.1
"""Seconds between two views at least."""


async def wait_for_workers(engine: Engine, n_workers: int, timeout: float | None) -> None:
    """Return when at least so many run.

    Raises:
        WorkerStartTimeoutError: they did not arrive within ``timeout`` seconds.
    """
    there = 0

    def are_there(workers: list[WorkerView]) -> bool:
        nonlocal there
        there = sum(worker.status == Status.RUNNING for worker in workers)
        return there >= n_workers

    try:
        await within(_wait_until(engine, are_there), None if timeout is None else max(timeout, _PACE))
    except asyncio.TimeoutError:
        raise WorkerStartTimeoutError(there, n_workers, timeout or 0.0) from None


async def wait_until_settled(engine: Engine) -> None:
    """Return when all workers that there should be are there, and no others.

    Raises:
        ClusterError: one of them cannot be started.
    """

    def is_settled(workers: list[WorkerView]) -> bool:
        for worker in workers:
            if worker.status == Status.BROKEN:
                raise ClusterError(f"worker {worker.name} cannot be started: it {worker.last_exit}")
        return all(worker.status in (Status.RUNNING, Status.PAUSED) for worker in workers)

    await _wait_until(engine, is_settled)


async def _wait_until(engine: Engine, is_done: Callable[[list[WorkerView]], bool]) -> None:
    changed = asyncio.Event()
    unsubscribe = engine.subscribe(lambda _view: changed.set(), _PACE)
    try:
        while True:
            answer = await engine.call(GetView())
            assert isinstance(answer, View)
            if is_done(answer.cluster.workers):
                return
            await changed.wait()
            changed.clear()
    finally:
        unsubscribe()
