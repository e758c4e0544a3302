"""The plugins of one worker: set up in the order in which they come, told of transitions, torn down at the end.

Nothing is done for transitions as long as no plugin wants to know of them: then the core's story tells what is fresh.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from typing import Any

from nbcluster.deadlines import within
from nbcluster.plugins.base import NannyPlugin, WorkerPlugin
from nbcluster.plugins.joining import NannyFacade
from nbcluster.worker.state import (
    ERRED,
    FINISHED,
    NEW,
    READY,
    RESCHEDULED,
    WAITING,
    WorkerState,
)
from nbcluster.worker.story import Line

logger = logging.getLogger("nbcluster.worker")

PATIENCE = 5.0
"""Seconds that all plugins together have for their ``teardown`` when the worker closes."""

_BEFORE = {NEW: "released", WAITING: "waiting", READY: "executing"}
_AFTER = {WAITING: "waiting", READY: "ready", FINISHED: "memory", ERRED: "error", RESCHEDULED: "rescheduled"}


class WorkerPlugins:
    """Those of one worker, on its loop; hooks that are no coroutines run in threads."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._plugins: dict[tuple[str, str], WorkerPlugin | NannyPlugin] = {}
        self._told: list[WorkerPlugin] = []
        self._state: WorkerState | None = None
        self.fresh: list[Line] = []
        """Transitions that plugins have not been told of."""

    @property
    def by_name(self) -> dict[str, Any]:
        """The plugins of workers, by name."""
        return {name: plugin for (kind, name), plugin in self._plugins.items() if kind == "worker"}

    def observe(self, state: WorkerState) -> None:
        """Tell of the transitions in this state from now on, if anybody wants to know."""
        self._state = state
        self._choose()

    async def add(self, plugin: WorkerPlugin | NannyPlugin, kind: str, name: str) -> None:
        """Set one up; a former one of its name is torn down first.

        Raises:
            Exception: what its ``setup`` raises; it is logged here too: if the worker is new, nobody waits for it.
        """
        if (kind, name) in self._plugins:
            await self.remove(kind, name)
        try:
            await self._call(plugin.setup, kind)
        except Exception:
            logger.exception("The plugin %r could not be set up here", name)
            raise
        self._plugins[kind, name] = plugin
        self._choose()

    async def remove(self, kind: str, name: str) -> None:
        """Tear one down; nothing happens if it is not here."""
        plugin = self._plugins.pop((kind, name), None)
        if plugin is not None:
            self._choose()
            await self._call(plugin.teardown, kind)

    async def _call(self, hook: Any, kind: str) -> None:
        subject = NannyFacade(self._worker) if kind == "nanny" else self._worker
        if inspect.iscoroutinefunction(hook):
            await hook(subject)
        else:
            waits = await asyncio.to_thread(hook, subject)
            if inspect.isawaitable(waits):
                await waits

    def _choose(self) -> None:
        self._told = [
            plugin
            for plugin in self._plugins.values()
            if isinstance(plugin, WorkerPlugin) and type(plugin).transition is not WorkerPlugin.transition
        ]
        if self._state is not None:
            self._state.story.fresh = self.fresh if self._told else None
            if not self._told:
                self.fresh.clear()

    def tell(self) -> None:
        """Tell plugins what has happened since the last time."""
        lines = self.fresh[:]
        self.fresh.clear()
        for _, key, _, before, after in lines:
            start, finish = _BEFORE.get(before, "released"), _AFTER.get(after, "released")
            for plugin in self._told:
                try:
                    plugin.transition(key, start, finish)
                except Exception:
                    logger.exception("The plugin %r failed over the transition of %s", plugin, key)

    async def close(self) -> None:
        """Tear all down, the latest first."""
        with contextlib.suppress(asyncio.TimeoutError):
            await within(self._tear_down(), PATIENCE)

    async def _tear_down(self) -> None:
        for kind, name in list(reversed(self._plugins)):
            try:
                await self.remove(kind, name)
            except Exception:
                logger.exception("The plugin %r failed when it was torn down", name)
