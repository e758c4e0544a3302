"""Staying awake for an answer that is about to come: looking for it again and again, for a moment, before one sleeps.

    ask ──▶ look, look, look … ──▶ it is there                        if the last one came within a MOMENT
        ──▶ sleep ── some processor has to wake first ──▶ it is there  if not

Until a processor that sleeps runs a thread, it may take as long as a small task, above all in a virtual machine. While
one is kept awake here, the scheduler and the worker take turns on another, which does not fall asleep either.
Who waits for what takes long does not stay awake for it: the last answer tells.
"""

from __future__ import annotations

import asyncio
import os
import time

MOMENT = 0.0002
"""Seconds for which to stay awake: somewhat more than a round trip of a small task takes."""

_alone = (os.cpu_count() or 1) == 1
"""Whoever is to answer needs the processor that would be kept awake."""


class Expectation:
    """When the next answer will come, judged by the last one."""

    __slots__ = ("_asked", "_comes_soon")

    def __init__(self) -> None:
        self._asked = 0.0
        self._comes_soon = False

    def asked(self) -> float:
        """Somebody waits for an answer from now on. Returns the ``time.monotonic()`` until which to stay awake."""
        self._asked = now = time.monotonic()
        return now + MOMENT if self._comes_soon and not _alone else now

    def answered(self) -> None:
        """It is there."""
        self._comes_soon = time.monotonic() - self._asked < MOMENT


class AwakeLoop:
    """An event loop that stays awake for an answer. On this loop.

    Between two looks it gives up Python's interpreter lock, as whenever it waits.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._expectation = Expectation()
        self._waits = False
        self._until = 0.0
        self._looks = False

    def asked(self) -> None:
        """Somebody waits for an answer that this loop will read."""
        self._waits = True
        self._until = self._expectation.asked()
        if not self._looks:
            self._look()

    def answered(self) -> None:
        """Something has come: maybe the answer."""
        if self._waits:
            self._waits = False
            self._expectation.answered()

    def _look(self) -> None:
        self._looks = self._waits and time.monotonic() < self._until
        if self._looks:
            self._loop.call_soon(self._look)
