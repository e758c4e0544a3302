"""The roster of a cluster: which workers there should be, by name.

    scale, adapt ──▶ names ──▶ crew hires who is new
                        └────▶ scheduler retires who is not on it any more ── nothing would be lost ──▶ crew dismisses

A worker whose time is over leaves and stays on the roster, if it is to be renewed: another of its name follows.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nbcluster.types import Status, WorkerName

if TYPE_CHECKING:
    from nbcluster.cluster.runtime import ClusterRuntime

logger = logging.getLogger("nbcluster.cluster")


class Roster:
    """Has workers come and go.

    Args:
        runtime: the cluster's parts.
    """

    def __init__(self, runtime: ClusterRuntime) -> None:
        self._runtime = runtime
        self.names: list[WorkerName] = []
        """Of the workers that there should be."""
        self._renewing: set[WorkerName] = set()
        """Workers that go because their time is over, and that others of their names will follow."""

    def scale(self, n: int) -> None:
        """Have ``n`` workers: the newest ones go first, gently."""
        names = [name for name in self.names if isinstance(name, int)]
        if n < len(names):
            willing = self.may_go(names)
            idle_first = sorted(names, key=lambda name: (name not in willing, self._load(name), -name))
            going = idle_first[: len(names) - n]
            if self._runtime.adaptive.view is not None:  # it is no order, so plugins have the last word
                going = [name for name in going if name in willing]
            self._set(sorted(set(names) - set(going)))
        else:
            free = (name for name in itertools.count() if name not in names and name not in self._runtime.server.guests)
            while len(names) < n:
                names.append(next(free))
            self._set(sorted(names))

    def may_go(self, names: Iterable[WorkerName]) -> set[WorkerName]:
        """Which of these workers the scheduler's plugins let go."""
        if not self._runtime.server.plugins:
            return set(names)
        workers = self._runtime.server.core.state.workers
        absent = {name for name in names if name not in workers}
        return absent | {
            w.name for w in self._runtime.server.plugins.may_go([workers[n] for n in names if n in workers])
        }

    def dismiss(self, names: Iterable[WorkerName]) -> None:
        """Have these workers no more; they go gently."""
        leaving = set(names)
        self._set([name for name in self.names if name not in leaving])

    def stop(self, names: list[WorkerName]) -> None:
        """Have these workers no more.

        Raises:
            ValueError: there is no such worker.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            known = ", ".join(map(repr, self.names)) or "none"
            raise ValueError(f"workers={names!r} names {unknown[0]!r}, which is not among this cluster's own: {known}")
        self.dismiss(names)

    def _load(self, name: WorkerName) -> int:
        worker = self._runtime.server.core.state.workers.get(name)
        return -1 if worker is None else len(worker.processing)

    def _set(self, names: Iterable[WorkerName]) -> None:
        wanted = list(names)
        leaving = [name for name in self.names if name not in wanted]
        self.names = wanted
        coming_back = [name for name in wanted if name in self._runtime.server.core.state.retiring]
        self._runtime.crew.hire([name for name in wanted if name not in coming_back])
        for name in coming_back:
            self._runtime.tasks.start(self._replace(name), f"replace worker {name}")
        connected = self._runtime.server.core.state.workers
        self._runtime.server.retire([name for name in leaving if name in connected])
        for name in leaving:
            if name not in connected:
                self.retired(name)

    async def _replace(self, name: WorkerName) -> None:
        """A name that was on its way out is wanted again: let the former one go, then start another."""
        await self._runtime.crew.dismiss(name)
        if name in self.names:
            self._runtime.crew.hire([name])

    def time_is_over(self, name: WorkerName) -> None:
        """A worker has lived for its ``lifetime``."""
        if name not in self.names:
            return
        lifetime = self._runtime.spec.workers.lifetime
        logger.info("Worker %s has reached the end of its lifetime", name)
        if lifetime is None or not lifetime.restart:
            self._set([other for other in self.names if other != name])
        elif name in self._runtime.server.core.state.workers:
            self._renewing.add(name)
            self._runtime.server.retire([name])

    def retired(self, name: WorkerName) -> None:
        """Nothing would be lost any more: stop it."""
        runtime = self._runtime
        if name in self._renewing:
            self._renewing.discard(name)
            runtime.tasks.start(self._replace(name), f"replace worker {name}")
        elif name not in self.names and runtime.status in (Status.STARTING, Status.RUNNING):
            if name not in runtime.crew.slots:
                runtime.server.guests.retired(name)
            runtime.tasks.start(runtime.crew.dismiss(name), f"stop worker {name}")
