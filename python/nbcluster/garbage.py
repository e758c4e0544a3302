"""Python's garbage collector, while very many objects are made of which none is garbage."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_VERY_MANY = 25_000
"""Objects, of those made in a pause, from which on the collector takes them for such as stay.

Else it would look at them now, and once more when it looks at those that have survived. A map makes two for each task.
"""

_UNCOUNTED = 32
"""After so many looks without one at all objects there are, what survives counts again towards the next such look.

Else garbage among the oldest would never be found.
"""

_CAN_BE_UNCOUNTED = sys.version_info < (3, 14)
"""Since Python 3.14 the collector may look at the oldest piece by piece, and would begin anew each time."""

_looks_before = _full_before = 0


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
    counted = False
    try:
        gc.disable()
        yield
    finally:
        if running:
            try:
                if gc.get_threshold()[0] and gc.get_count()[0] > _VERY_MANY:  # 0 is another way to turn it off
                    counted = _look_once()
            finally:
                gc.enable()
            if counted:
                _have_it_decide()


def _look_once() -> bool:
    """Collect what is young, and take what survives for such as stays. Returns whether it counts from now on.

    The collector looks at all objects there are when those that have survived are a quarter more than last time. What
    maps make is very much, and dies by itself, so at most times it does not count.
    """
    global _looks_before, _full_before
    full = gc.get_stats()[2]["collections"]
    if full != _full_before:
        _looks_before, _full_before = 0, full
    _looks_before += 1
    is_to_count = _looks_before > _UNCOUNTED or not _CAN_BE_UNCOUNTED
    some_have_survived = gc.get_count()[1] > 0  # and are to be looked at once more
    if is_to_count or some_have_survived or gc.get_freeze_count():  # what others have frozen is to stay so
        gc.collect(1)
        return is_to_count
    gc.collect(0)
    try:
        gc.freeze()
    finally:
        gc.unfreeze()  # to where the oldest are
    return False


def _have_it_decide() -> None:
    """Have the collector look at all objects, if by its own rules it is time: it asks only when some have been made."""
    enough = gc.get_threshold()[0] + 1
    if enough < _VERY_MANY:
        [[] for _ in range(enough)]
