"""What a worker's configuration means for its memory: what it puts away, what it shares, and when it pauses."""

from __future__ import annotations

import os
from collections.abc import Callable

from nbcluster.store.memory import MemoryStore
from nbcluster.store.spill import SpillFolder
from nbcluster.types import Key
from nbcluster.worker.config import WorkerConfig
from nbcluster.worker.pressure import MemoryPressure
from nbcluster.worker.spilling import Spiller, spill_path

SHARED_AHEAD = 0.25
"""Share of its memory limit that a worker puts into shared memory before anybody wants it there."""


def make_spiller(
    config: WorkerConfig, store: MemoryStore, shares: bool, on_taken_away: Callable[[Key], None]
) -> Spiller | None:
    """What moves results to disk, or None if the worker has no limit, no place for them, or is told not to.

    Args:
        config: the worker's.
        store: where the results are.
        shares: results may move to shared memory, which counts too then.
        on_taken_away: told of each result that is on disk now, and was in shared memory before.
    """
    limit = config.memory_limit
    if not (limit and (config.memory_target or config.memory_spill) and config.local_directory):
        return None
    target = int((config.memory_target or 1.0) * limit)
    return Spiller(
        store,
        SpillFolder(spill_path(config.local_directory, os.getpid())),
        target,
        limit,
        total=min(target + int(SHARED_AHEAD * limit), limit) if shares else None,
        on_taken_away=on_taken_away,
    )


def make_pressure(config: WorkerConfig, spiller: Spiller | None, tell: Callable[[bool], None]) -> MemoryPressure | None:
    """What looks at the process's memory, or None if nothing would follow from it.

    Args:
        config: the worker's.
        spiller: is pressed when the process has too much.
        tell: told whether the worker is paused, when that changes.
    """
    spill = config.memory_spill if spiller is not None else None
    if not config.memory_limit or (spill is None and config.memory_pause is None):
        return None
    return MemoryPressure(
        config.memory_limit,
        target=config.memory_target or spill or 1.0,
        spill=spill,
        pause=config.memory_pause,
        press=spiller.press if spiller is not None else lambda excess: None,
        tell=tell,
    )
