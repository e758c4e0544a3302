"""How many workers, with how many threads, and how much memory for each. Pure: the machine's figures are arguments."""

from __future__ import annotations

import math
import numbers
from typing import NamedTuple

from nbcluster.arguments import MOST
from nbcluster.units import parse_bytes


class Size(NamedTuple):
    """So many workers, of so many threads each."""

    n_workers: int
    threads_per_worker: int


def default_size(cpus: int) -> Size:
    """Divide CPUs into worker processes and threads: 4 give 4x1, 5 give 5x1, 8 give 4x2, 12 give 4x3, 64 give 8x8.

    Up to four, a process for each; beyond, the smallest divisor that is no less than the square root.
    """
    if cpus <= 4:
        return Size(cpus, 1)
    processes = next(n for n in range(math.ceil(math.sqrt(cpus)), cpus + 1) if cpus % n == 0)
    return Size(processes, cpus // processes)


def choose_size(cpus: int, processes: bool, n_workers: int | None, threads_per_worker: int | None) -> Size:
    """Fill in what was not said: all CPUs are used once."""
    if n_workers is None and threads_per_worker is None:
        return default_size(cpus) if processes else Size(1, cpus)
    if n_workers is None:
        assert threads_per_worker is not None
        return Size(max(1, cpus // threads_per_worker) if processes else 1, threads_per_worker)
    if threads_per_worker is None:
        return Size(n_workers, max(1, math.ceil(cpus / n_workers)) if n_workers else 1)
    return Size(n_workers, threads_per_worker)


MemoryLimit = int | float | str | None


def check_memory_limit(value: object) -> MemoryLimit:
    """Accept what ``memory_limit`` may be.

    Raises:
        TypeError, ValueError: names the value and what is allowed.
    """
    allowed = "give 'auto', a fraction like 0.5, bytes like 2**30 or '1GiB', '25%', or None (or 0) for no limit"
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (numbers.Integral, float, str)):
        raise TypeError(f"memory_limit={value!r} is not allowed; {allowed}")
    if isinstance(value, numbers.Integral):
        value = int(value)
    if isinstance(value, str):
        if value == "auto":
            return value
        if value.strip().endswith("%"):
            return _percentage(value)
        given, value = value, parse_bytes(value, "memory_limit")
        if value > MOST:
            raise ValueError(f"memory_limit={given!r} is out of range; {allowed}")
    if math.isnan(value) or not 0 <= value <= MOST or (isinstance(value, float) and value > 1):
        raise ValueError(f"memory_limit={value!r} is out of range; {allowed}")
    return value or None


def _percentage(text: str) -> float:
    try:
        percent = float(text.strip().rstrip("%"))
    except ValueError:
        percent = math.nan
    if not 0 < percent <= 100:
        raise ValueError(f"memory_limit={text!r} is not a percentage above 0 and up to 100, like '25%'")
    return percent / 100


def memory_per_worker(limit: MemoryLimit, total: int, n_workers: int) -> int | None:
    """Bytes that each of ``n_workers`` may use; None means no limit. ``"auto"`` is an even split of ``total``."""
    if limit is None:
        return None
    if limit == "auto":
        return total // max(1, n_workers)
    if isinstance(limit, float):
        return int(limit * total)
    assert isinstance(limit, int)
    return min(limit, total)
