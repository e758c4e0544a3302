"""What the benchmarks run on workers."""

from __future__ import annotations


def noop(argument: int) -> int:
    """Next to nothing."""
    return argument
