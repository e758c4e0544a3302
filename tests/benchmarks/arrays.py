"""What the benchmarks do with big arrays on workers: apart from the rest, so that only they import numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MIB = 1 << 20
Array = NDArray[np.int64]


def make(mib: float, content: int) -> Array:
    """A new array of that size; equal content, equal array."""
    return np.full(int(mib * MIB) // 8, content, dtype=np.int64)


def read(array: Array, *_: Any) -> int:
    """Touch all of it."""
    return int(array.sum())


def step(array: Array) -> Array:
    """One link of a chain: a new array of the same size."""
    return array + 1


def last(array: Array) -> int:
    """Touch next to nothing of it."""
    return int(array[-1])
