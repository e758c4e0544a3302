"""Who watches a cluster: views are made once, at most as often as somebody wants them, and only after changes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from nbcluster.beats import until_beat
from nbcluster.comm.tasks import TaskOwner
from nbcluster.snapshot import ClusterView

logger = logging.getLogger("nbcluster.cluster")

OnView = Callable[[ClusterView], None]


@dataclass(eq=False)
class _Observer:
    on_view: OnView
    interval: float
    due: float = 0.0
    seen: int = -1


class Observers:
    """The subscriptions of one cluster. While there are none, nothing runs.

    Args:
        make_view: makes a view.
        changes: counts what has happened; while it stands still, nobody is told anything.
        tasks: the owner of the task that keeps watch.
    """

    def __init__(self, make_view: Callable[[], ClusterView], changes: Callable[[], int], tasks: TaskOwner) -> None:
        self._make_view = make_view
        self._changes = changes
        self._tasks = tasks
        self._observers: list[_Observer] = []
        self._watch: asyncio.Task[None] | None = None
        self._poke = asyncio.Event()

    def add(self, on_view: OnView, interval: float) -> Callable[[], None]:
        """Tell ``on_view`` of changes, at most every ``interval`` seconds; returns the way to stop it."""
        observer = _Observer(on_view, interval, time.monotonic() + interval, self._changes())
        self._observers.append(observer)
        if self._watch is None:
            self._watch = self._tasks.start(self._keep_watch(), "views")
        self._poke.set()

        def remove() -> None:
            if observer in self._observers:
                self._observers.remove(observer)

        return remove

    def poke(self) -> None:
        """Something important happened (a worker came or went): tell everybody now."""
        for observer in self._observers:
            observer.due = 0.0
            observer.seen = -1
        self._poke.set()

    async def _keep_watch(self) -> None:
        try:
            while self._observers:
                self._poke.clear()
                now = time.monotonic()
                self._tell([observer for observer in self._observers if observer.due <= now])
                pause = min((o.due for o in self._observers), default=now + 1.0) - time.monotonic()
                next_look = asyncio.get_running_loop().call_later(max(pause, 0.01), self._poke.set)
                try:
                    await self._poke.wait()
                finally:
                    next_look.cancel()
        finally:
            self._watch = None

    def _tell(self, due: list[_Observer]) -> None:
        changes, now = self._changes(), time.monotonic()
        stale = []
        for observer in due:
            if observer.seen == changes:
                observer.due = now + until_beat(observer.interval)
            else:
                observer.due = now + observer.interval
                stale.append(observer)
        if stale:
            view = self._make_view()
            for observer in stale:
                observer.seen = changes
                try:
                    observer.on_view(view)
                except Exception:
                    logger.exception("%s failed and is told no more", observer.on_view)
                    self._observers.remove(observer)
