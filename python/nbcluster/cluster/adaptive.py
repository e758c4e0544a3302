"""Scaling by itself: looks at the cluster now and then, and does what the scaler says."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from nbcluster.cluster.scaling import Decision, Load, Scaler
from nbcluster.comm.tasks import TaskOwner
from nbcluster.commands import Adapt
from nbcluster.snapshot import AdaptiveView

logger = logging.getLogger("nbcluster.cluster")


class Scalable(Protocol):
    """What can be scaled."""

    @property
    def capacity(self) -> int:
        """How many workers this machine can reasonably hold."""

    def load(self) -> Load:
        """How it is doing now."""

    def scale(self, n: int) -> None:
        """Have so many workers."""


class Adaptive:
    """Scales a cluster while it is told to.

    Args:
        cluster: what to scale.
    """

    def __init__(self, cluster: Scalable) -> None:
        self._cluster = cluster
        self._tasks = TaskOwner("adaptive")
        self._task: asyncio.Task[None] | None = None
        self._scaler: Scaler | None = None
        self._decision = Decision(0, "")

    @property
    def view(self) -> AdaptiveView | None:
        """Its limits and its last decision; None while it does nothing."""
        if self._scaler is None:
            return None
        options, (target, reason) = self._scaler.options, self._decision
        return AdaptiveView(minimum=options.minimum, maximum=options.maximum, target=target, reason=reason)

    def start(self, options: Adapt) -> None:
        """Adapt from now on, by these options and no former ones."""
        if self._task is not None:
            self._task.cancel()
        self._scaler = Scaler(options, self._cluster.capacity)
        self._look(self._scaler)
        self._task = self._tasks.start(self._run(self._scaler), "look")

    async def stop(self) -> None:
        """Adapt no more. Idempotent."""
        self._scaler = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def close(self) -> None:
        """Stop for good."""
        await self.stop()
        await self._tasks.close()

    async def _run(self, scaler: Scaler) -> None:
        while True:
            await asyncio.sleep(scaler.options.interval)
            try:
                self._look(scaler)
            except Exception:  # the next look may succeed: a cluster that stops adapting is worse
                logger.exception("Adapting the cluster failed; it will be tried again")

    def _look(self, scaler: Scaler) -> None:
        load = self._cluster.load()
        self._decision = decision = scaler.decide(load)
        if decision.workers != load.workers:
            logger.info("Adapting from %d to %d workers: %s", load.workers, decision.workers, decision.reason)
            self._cluster.scale(decision.workers)
