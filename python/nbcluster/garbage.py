"""Python's garbage collector, while very many objects are made of which none is garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
            gc.enable()
