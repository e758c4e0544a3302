"""Coroutine functions as tasks: those of one worker share an event loop, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from nbcluster.comm.loop import LoopThread
from nbcluster.worker import context


class CoroutineLoop:
    """Runs coroutines for the threads whose tasks they are. Its loop starts with the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: LoopThread | None = None
        self._closed = False

    def run(self, coroutine: Coroutine[Any, Any, Any], on_end: Callable[[], None] | None = None) -> Any:
        """Run a coroutine to its end, in the context of this thread's task.

        Args:
            coroutine: what the task returned.
            on_end: called on the loop, as part of the task, when it has ended.
        """
        with context.inherit():
            value, error = self._started().run(_outcome(coroutine, on_end))
        if error is None:
            return value
        try:
            raise error
        finally:
            del error  # or its traceback and the error would hold each other

    def spawn(
        self,
        coroutine: Coroutine[Any, Any, Any],
        then: Callable[[Any, BaseException | None], None],
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """Begin a coroutine, and tell of its end on the loop: what it returned, and what it raised."""

        async def run() -> None:
            then(*await _outcome(coroutine, on_end))

        loop = self._started().loop
        with context.inherit():
            asyncio.run_coroutine_threadsafe(run(), loop)

    def _started(self) -> LoopThread:
        with self._lock:
            if self._closed:
                raise RuntimeError("this worker is closed")
            if self._thread is None:
                thread = LoopThread("nbcluster-coroutines")
                thread.start()
                self._thread = thread
            return self._thread

    def close(self) -> None:
        """Cancel what still runs. Idempotent."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            threading.Thread(target=thread.stop, daemon=True).start()  # it waits, and this may be a loop


async def _outcome(
    coroutine: Coroutine[Any, Any, Any], on_end: Callable[[], None] | None
) -> tuple[Any, BaseException | None]:
    try:
        return await coroutine, None
    except BaseException as error:  # SystemExit and its like are the task's, not the loop's
        return None, error
    finally:
        if on_end is not None:
            on_end()
