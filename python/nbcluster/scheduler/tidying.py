"""When a scheduler forgets what was put off: much of it while every worker has a thread to spare, or else soon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nbcluster.scheduler.core import SchedulerCore
from nbcluster.scheduler.events import Event, Tidy

MOST = 2000
"""So many small results may be put off."""

_MANY = 64
"""Of fewer, some more are waited for: the next task may come at any moment, when one comes after the other."""

_AT_ONCE = 250
"""In one turn of the loop, between which others are heard."""

_PATIENCE = 0.02
"""Seconds until some are forgotten although workers are busy: they may be so for hours."""


class Tidying:
    """Sees to it that nothing is put off for long.

    Args:
        core: whose.
        handle: carries out an event.
    """

    def __init__(self, core: SchedulerCore, handle: Callable[[Event], None]) -> None:
        self._core = core
        self._handle = handle
        self._soon: asyncio.Handle | None = None
        self._late: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Something has happened."""
        put_off = self._core.put_off
        if self._soon is not None or not put_off:
            return
        if len(put_off) >= _MANY and self._core.placement.all_idle:
            self._soon = asyncio.get_running_loop().call_soon(self._tidy)
        elif self._late is None:
            self._late = asyncio.get_running_loop().call_later(_PATIENCE, self._tidy)

    def close(self) -> None:
        """Leave everything as it is."""
        for handle in (self._soon, self._late):
            if handle is not None:
                handle.cancel()
        self._soon = self._late = None

    def _tidy(self) -> None:
        self.close()
        self._handle(Tidy(_AT_ONCE))  # which has it look again
