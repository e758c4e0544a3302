"""Virtual time: things happen in the order of their moments, and of their scheduling where these are equal."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

Action = Callable[..., None]


class Engine:
    """Time passes only from one thing to the next."""

    __slots__ = ("_heap", "_numbers", "now", "steps")

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._heap: list[tuple[float, int, Action, tuple[Any, ...]]] = []
        self._numbers = 0

    def at(self, moment: float, action: Action, *arguments: Any) -> None:
        """Have something happen at a moment that is not past."""
        self._numbers += 1
        heappush(self._heap, (moment, self._numbers, action, arguments))

    def after(self, delay: float, action: Action, *arguments: Any) -> None:
        """Have something happen so many seconds from now."""
        self.at(self.now + delay, action, *arguments)

    def run(self) -> None:
        """Until nothing is left that could happen."""
        heap = self._heap
        while heap:
            self.now, _, action, arguments = heappop(heap)
            self.steps += 1
            action(*arguments)
