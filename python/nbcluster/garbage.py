"""Python's garbage collector, while very many objects are made of which none is garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_VERY_MANY = 25_000
"""Objects, of those made in a pause, from which on the collector takes them for such as stay.

Else it would look at them now, and once more when it looks at those that have survived. A map makes two for each task.
"""


@contextmanager
def collector_paused() -> Iterator[None]:
    """Make objects by the thousand, and have the collector look at them once in the end, not again and again.

    Keep it short: meanwhile garbage that refers to itself is kept, also that of other threads. Of several threads that
    pause it at the same time, the first one to end has it go on. One that somebody has turned off stays off.

    Example:
        >>> with collector_paused():
        ...     gc.isenabled()
        False
        >>> gc.isenabled()
        True
    """
    running = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if running:
            if gc.get_threshold()[0] and gc.get_count()[0] > _VERY_MANY:  # 0 is another way to turn it off
                _look_once()
            gc.enable()


def _look_once() -> None:
    """Collect what is young, and take what survives for such as stays.

    The collector looks at all objects there are as soon as those that have survived are a quarter more than it has
    looked at before. What a map makes is not to count for that: it is much, holds no garbage, and dies by itself.
    """
    collections_of_youngest = gc.get_count()[1]
    if collections_of_youngest or gc.get_freeze_count():
        gc.collect(1)
    else:  # there is nothing young but what has just been made, and nobody else has anything frozen
        gc.collect(0)
        gc.freeze()
        gc.unfreeze()  # to where the oldest are
