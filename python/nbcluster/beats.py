"""Who looks after something now and then does so on the beat: a process that idles wakes once for all of them.

Waking costs an idle process more than most looks do, for its caches are cold. Intervals that divide each other
share their moments; those of another process lie elsewhere, or a cluster's processes would all wake at once.
"""

from __future__ import annotations

import os
import time

_APART = 0.618
"""Seconds between the beats of processes whose numbers follow each other: by the golden ratio they stay spread."""


def until_beat(interval: float) -> float:
    """Seconds to wait for a beat of this process: ``interval`` from one to the next, and never less than half of it.

    Args:
        interval: seconds between two beats, above 0.

    Returns:
        From half an interval to one and a half: a timer that was early does not make two looks of one.

    Example:
        >>> 0.25 <= until_beat(0.5) < 0.75
        True
    """
    rest = interval - (time.monotonic() - os.getpid() * _APART) % interval
    return rest if rest >= interval / 2 else rest + interval
