"""A worker looks at the memory of its own process: when it is too much it spills results, then wants no more tasks.

    process memory ──▶ below the shares of the limit: fine
                  ├──▶ above ``spill``: results go to disk until it is below ``target``
                  └──▶ above ``pause``: no more tasks until it is below again

How soon it looks again follows from how close it is. What ends the process for its memory is its supervisor.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

from nbcluster.process_memory import own_resident, used

SOON, LATER = 0.1, 0.5
"""Seconds between two looks: close to a threshold, and far from all."""
CLOSE = 0.5
"""Share of the lowest threshold that is close to it."""


def own_memory(enough: float) -> int:
    """Bytes that this process uses. The figure is exact only above ``enough``: then shared pages count in part."""
    memory = own_resident()
    return used(os.getpid()) if memory > enough else memory


class MemoryPressure:
    """Decides what one worker does about its memory.

    Args:
        limit: bytes that the worker may use.
        target: share of it below which it is well again.
        spill: share of it above which results are spilled; None: they are not.
        pause: share of it above which it wants no more tasks; None: it always does.
        press: told by how many bytes less should be in memory; 0: all is well.
        tell: told whether the worker is paused, when that changes.
        memory: tells what the process uses, exactly if it is above the figure that it is given.
    """

    def __init__(
        self,
        limit: int,
        *,
        target: float,
        spill: float | None,
        pause: float | None,
        press: Callable[[int], None],
        tell: Callable[[bool], None],
        memory: Callable[[float], int] = own_memory,
    ) -> None:
        self._target = target * limit
        self._spill = None if spill is None else spill * limit
        self._pause = None if pause is None else pause * limit
        self._lowest = min(share for share in (self._spill, self._pause) if share is not None)
        self._press = press
        self._tell = tell
        self._memory = memory
        self._pressing = False
        self.paused = False

    def look(self) -> float:
        """Measure and act; returns in how many seconds to do so again."""
        memory = self._memory(min(self._lowest, self._target))
        if self._spill is not None:
            self._look_for_spilling(memory, self._spill)
        if self._pause is not None:
            self._look_for_pausing(memory, self._pause)
        return SOON if memory > CLOSE * self._lowest or self.paused else LATER

    def _look_for_spilling(self, memory: int, above: float) -> None:
        below = min(self._target, above)
        if memory > above or (self._pressing and memory > below):
            self._pressing = True
            self._press(int(memory - below))
        elif self._pressing:
            self._pressing = False
            self._press(0)

    def _look_for_pausing(self, memory: int, above: float) -> None:
        if memory > above and not self.paused:
            gc.collect()  # it may be cycles that nobody holds
            memory = self._memory(above)
        if (memory > above) is not self.paused:
            self.paused = not self.paused
            self._tell(self.paused)
