"""How many bytes an object takes in memory, roughly and cheaply: what placement and memory limits go by.

Nothing is imported for it: arrays and frames are recognised by what they offer. Containers are sampled, so
the price does not grow with their length.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from itertools import islice
from typing import Any

SAMPLE = 20
MAX_DEPTH = 4
UNKNOWN = 64
"""What an object is taken for whose own accounting fails."""

_FIXED: dict[type, int] = {
    type(None): 16,
    bool: 28,
    int: 32,
    float: 24,
    complex: 32,
}


def sizeof(value: Any) -> int:
    """Estimate the bytes of ``value`` and of what it holds. Never raises."""
    fixed = _FIXED.get(type(value))
    return fixed if fixed is not None else _sizeof(value, MAX_DEPTH)


def _sizeof(value: Any, depth: int) -> int:
    kind = type(value)
    fixed = _FIXED.get(kind)
    if fixed is not None:
        return fixed
    measure = _MEASURES.get(kind)
    try:
        if measure is not None:
            return measure(value, depth)
        return _sizeof_object(value, depth)
    except Exception:  # a foreign __sizeof__, nbytes or iterator; an estimate must not fail a task
        return UNKNOWN


def _sizeof_flat(value: Any, depth: int) -> int:
    return sys.getsizeof(value)


def _sizeof_view(value: memoryview, depth: int) -> int:
    return value.nbytes


def _sizeof_elements(value: Collection[Any], depth: int) -> int:
    return sys.getsizeof(value) + _sizeof_sample(value, len(value), depth)


def _sizeof_mapping(value: dict[Any, Any], depth: int) -> int:
    n = len(value)
    return sys.getsizeof(value) + _sizeof_sample(value.keys(), n, depth) + _sizeof_sample(value.values(), n, depth)


def _sizeof_sample(elements: Any, n: int, depth: int) -> int:
    if n == 0 or depth == 0:
        return 0
    if n <= SAMPLE:
        return sum(_sizeof(element, depth - 1) for element in elements)
    step = n // SAMPLE
    chosen = islice(elements, 0, step * SAMPLE, step)
    return sum(_sizeof(element, depth - 1) for element in chosen) * n // SAMPLE


def _sizeof_object(value: Any, depth: int) -> int:
    kind = type(value)
    if hasattr(kind, "__dask_graph__"):  # says how large it would be, not how large it is
        return sys.getsizeof(value)
    if hasattr(kind, "memory_usage"):  # pandas
        return _sizeof_table(value)
    if hasattr(kind, "nbytes") and isinstance(value.nbytes, int):  # numpy, arrow, torch
        size = int(value.nbytes)
        if getattr(getattr(value, "dtype", None), "hasobject", False):
            flat = value.ravel()
            size += _sizeof_sample(flat, len(flat), depth)
        return size + UNKNOWN
    size = sys.getsizeof(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        size += _sizeof_sample(value, len(value), depth)
    elif isinstance(value, dict):
        size = _sizeof_mapping(value, depth)
    attributes = getattr(value, "__dict__", None)
    if type(attributes) is dict and depth and not isinstance(value, type):
        size += _sizeof_mapping(attributes, depth - 1)
    return size


def _sizeof_table(value: Any) -> int:
    shallow = value.memory_usage()
    size = int(shallow.sum() if hasattr(shallow, "sum") else shallow)
    n = len(value)
    if n and hasattr(value, "iloc"):  # the strings and other objects behind the pointers
        sample = value.iloc[:: max(1, n // SAMPLE)]
        deep, flat = (sample.memory_usage(deep=deep, index=False) for deep in (True, False))
        extra = deep - flat
        size += int(extra.sum() if hasattr(extra, "sum") else extra) * n // len(sample)
    return size


_MEASURES: dict[type, Callable[[Any, int], int]] = {
    str: _sizeof_flat,
    bytes: _sizeof_flat,
    bytearray: _sizeof_flat,
    memoryview: _sizeof_view,
    list: _sizeof_elements,
    tuple: _sizeof_elements,
    set: _sizeof_elements,
    frozenset: _sizeof_elements,
    dict: _sizeof_mapping,
}
