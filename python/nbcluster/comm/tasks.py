"""Owners of asyncio tasks: nothing runs that nobody would cancel, and no failure goes unseen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)


class TaskOwner:
    """Starts tasks, reports how they fail, and cancels the rest when it is closed.

    Args:
        name: whose tasks these are; for logs.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<TaskOwner {self.name} tasks={len(self._tasks)}>"

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run a coroutine beside the caller. If nobody awaits the task, its failure is logged all the same.

        Raises:
            RuntimeError: the owner is closed.
        """
        if self._closed:
            coroutine.close()
            raise RuntimeError(f"{self.name} is closed and starts nothing more (asked for: {name})")
        task = asyncio.get_running_loop().create_task(coroutine, name=f"{self.name}: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self) -> None:
        """Cancel what still runs, but for the calling task, and wait for its end. Idempotent."""
        self._closed = True
        others = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("%s failed", task.get_name(), exc_info=task.exception())
