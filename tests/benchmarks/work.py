"""What the benchmarks run on workers."""

from __future__ import annotations

import time

NAP = 0.01


def noop(argument: int) -> int:
    """Next to nothing."""
    return argument


def nap(argument: int) -> int:
    """Sleep for 10 ms."""
    time.sleep(NAP)
    return argument


def add(left: int, right: int) -> int:
    """One node of a tree."""
    return left + right
