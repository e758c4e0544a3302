"""When a worker's memory fills with results, the coldest of them go to disk, in a thread beside the loop.

    look() ── too much ──▶ take the coldest ──▶ thread: pickle, write ──▶ the store keeps the file ──▶ the next
                               ▲                          │
                               └──── later, again ◀── no room on disk

What this worker has put into shared memory counts too, though it may be more: then the coldest of that goes to disk,
and the scheduler is told to send whoever wants it here.

Tasks that produce faster than the disk takes it wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nbcluster.comm.tasks import TaskOwner
from nbcluster.errors import NbclusterError
from nbcluster.store.memory import Datum, MemoryStore
from nbcluster.store.spill import SpillFile, SpillFolder
from nbcluster.types import Key
from nbcluster.units import format_bytes

logger = logging.getLogger(__name__)

BRAKE = 0.25
"""Above the target by this share of what is left up to the limit, tasks wait for what is being written."""
PATIENCE = 5.0
"""Seconds that a task waits at most: a disk that hangs stops nobody for good."""
UNSEEN = 4 << 20
"""Bytes of results that threads make before they look whether the loop keeps up."""
FIRST_RETRY, LAST_RETRY = 1.0, 60.0
"""Seconds until a disk that refused is tried again: at first, and at most."""


def spill_path(directory: str, pid: int) -> Path:
    """The folder of a worker's process. Whoever ended the process, or saw it end, removes what it left."""
    return Path(directory) / f"spill-{pid}"


class Spiller:
    """Keeps the results that a store has in memory below a target. On the loop, but for ``brake``.

    Args:
        store: the results.
        folder: where the files go.
        target: bytes.
        limit: bytes that the worker may use in all.
        total: bytes that may be in memory together with what is in shared memory because of this worker; None: any.
        on_taken_away: told of a result that is on disk now, and was in shared memory before.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        store: MemoryStore,
        folder: SpillFolder,
        target: int,
        limit: int,
        *,
        total: int | None = None,
        on_taken_away: Callable[[Key], None] = lambda key: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._folder = folder
        self._target = target
        self._brake_above = target + int(BRAKE * (limit - target))
        self._total = total
        self._on_taken_away = on_taken_away
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "nbcluster-spill")
        self._owner = TaskOwner("spilling")
        self._loop = asyncio.get_running_loop()
        self._go = threading.Event()
        self._go.set()
        self._unseen = 0
        """Bytes that threads have made since they last waited for the loop. About, for they do not lock."""
        self._soon = 0
        """Bytes that will be there soon, by what threads have made."""
        self._pressed: int | None = None
        """Bytes of results that may stay while the process uses too much memory."""
        self._spilling = False
        self._retry_at = 0.0
        self._delay = FIRST_RETRY
        self._warned = False
        self._closed = False

    def __repr__(self) -> str:
        return f"<Spiller {self._store!r}, target {self._target} B, {self._folder!r}>"

    def look(self) -> None:
        """Spill what is too much; remove files of no use. To be called after every change, and now and then."""
        if self._closed:
            return
        if self._has_too_much or self._shares_too_much:
            if not self._spilling and self._clock() >= self._retry_at:
                self._spilling = True
                self._owner.start(self._spill(), "spill")
            elif self._spilling and self._store.nbytes > self._brake_above:
                self._go.clear()
        if self._folder.untidy:
            self._thread.submit(_sweep, self._folder)

    def press(self, excess: int) -> None:
        """The process uses so many bytes more than it should: so much less of results is to stay in memory, for now."""
        self._pressed = max(0, self._store.nbytes - excess) if excess > 0 else None
        self.look()

    @property
    def _goal(self) -> int:
        return self._target if self._pressed is None else min(self._target, self._pressed)

    @property
    def _has_too_much(self) -> bool:
        return self._store.nbytes > self._goal and self._store.can_spill

    @property
    def _shares_too_much(self) -> bool:
        store = self._store
        if self._total is None or not store.can_take_away:
            return False
        return store.nbytes + store.moved_nbytes > self._total

    def brake(self, nbytes: int) -> None:
        """Called by threads that have made a result: wait while there is too much in memory and it is being written.

        Or if there would be too much with this one, and another of its size.
        """
        self._unseen += nbytes
        if self._unseen < UNSEEN or self._store.nbytes < self._target // 2:
            return
        self._unseen = 0
        seen = threading.Event()
        try:
            self._loop.call_soon_threadsafe(self._see, 2 * nbytes, seen)
        except RuntimeError:  # the loop is closed
            return
        if seen.wait(PATIENCE):  # now the loop has stored, and counted, whatever this thread made before
            self._go.wait(PATIENCE)

    def _see(self, soon: int, seen: threading.Event) -> None:
        self._soon = soon
        if self._spilling and self._store.nbytes + soon > self._brake_above:
            self._go.clear()
        seen.set()

    async def _spill(self) -> None:
        store = self._store
        try:
            while (self._has_too_much or self._shares_too_much) and not self._closed:
                coldest = store.take_coldest() if self._has_too_much else store.take_coldest_moved()
                if coldest is None or not await self._spill_one(*coldest):
                    return
                if store.nbytes + self._soon <= self._brake_above:
                    self._go.set()
        finally:
            self._spilling = False
            self._go.set()

    async def _spill_one(self, key: Key, datum: Datum) -> bool:
        """Returns whether it makes sense to go on."""
        try:
            file = await asyncio.get_running_loop().run_in_executor(self._thread, _write, self._folder, datum)
        except NbclusterError as error:  # it cannot be pickled
            logger.debug("%s stays in memory: %s", key, error)
        except (OSError, MemoryError) as error:
            self._store.offer(key, datum)
            self._refused(error)
            return False
        else:
            self._delay = FIRST_RETRY
            if self._store.spilled(key, datum, file):
                if datum.moved:
                    self._on_taken_away(key)
            elif self._store.get(key) is datum:
                return False  # it is in use: not again at once
        return True

    def _refused(self, error: Exception) -> None:
        self._retry_at = self._clock() + self._delay
        self._delay = min(2 * self._delay, LAST_RETRY)
        if not self._warned and not self._closed:
            self._warned = True
            logger.warning(
                "Results fill the memory (%s) and cannot be written to %s: %s. They stay in memory, and it is tried "
                "again. Make room there, or give the cluster another local_directory.",
                format_bytes(self._store.nbytes),
                self._folder.path,
                error,
            )

    async def close(self) -> None:
        """Remove all files. What is being written is not waited for. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._folder.stop()
        self._go.set()
        await self._owner.close()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._folder.close)
        self._thread.shutdown(wait=False)


def _write(folder: SpillFolder, datum: Datum) -> SpillFile:
    return folder.write(datum.dump())


def _sweep(folder: SpillFolder) -> None:
    try:
        folder.sweep()
    except OSError as error:  # the folder goes as a whole in the end
        logger.debug("Could not remove a file of %s: %s", folder, error)
