"""Which submissions follow so soon upon each other that their tasks may be interleaved."""

from __future__ import annotations

import time
from collections.abc import Callable

from nbcluster.protocol.messages import SAME_LINE, Line

_NEW_LINE = Line(new_generation=True)


class Generations:
    """The generations of what one client submits: each begins with a submission, and lasts as long as others allow.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = float("-inf")

    def line(self, fifo_timeout: float) -> Line:
        """Where in line something comes that is submitted now.

        Args:
            fifo_timeout: seconds for which it would still be of a generation that has begun.
        """
        now = self._clock()
        if now - self._began <= fifo_timeout:
            return SAME_LINE
        self._began = now
        return _NEW_LINE


def following(line: Line) -> Line:
    """Where in line the rest of a submission comes that goes out in pieces."""
    return SAME_LINE if line.new_generation else line
