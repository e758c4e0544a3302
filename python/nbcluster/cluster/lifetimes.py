"""``lifetime=``: workers end by themselves after a while, gently: their data moves first."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from nbcluster.cluster.keywords import Lifetime
from nbcluster.types import WorkerName


class Lifetimes:
    """The clocks of a cluster's workers.

    Args:
        lifetime: how long they live; None: until somebody ends them.
        over: called with the name of a worker whose time is over.
    """

    def __init__(self, lifetime: Lifetime | None, over: Callable[[WorkerName], None]) -> None:
        self._lifetime = lifetime
        self._over = over
        self._clocks: dict[WorkerName, asyncio.TimerHandle] = {}

    def born(self, name: WorkerName) -> None:
        """A worker has joined; a former one of its name is gone."""
        if self._lifetime is None:
            return
        self.ended(name)
        stagger = self._lifetime.stagger
        seconds = self._lifetime.seconds + random.uniform(-stagger, stagger)
        self._clocks[name] = asyncio.get_running_loop().call_later(seconds, self._ring, name)

    def ended(self, name: WorkerName) -> None:
        """A worker is gone, or goes."""
        clock = self._clocks.pop(name, None)
        if clock is not None:
            clock.cancel()

    def close(self) -> None:
        """Stop all clocks."""
        for name in list(self._clocks):
            self.ended(name)

    def _ring(self, name: WorkerName) -> None:
        self._clocks.pop(name, None)
        self._over(name)
