"""How many bytes per second a worker writes, copies, and gets from another: run on workers, beside their tasks."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

KIB, MIB = 1 << 10, 1 << 20
DISK_SIZES = {"1 kiB": KIB, "100 kiB": 100 * KIB, "1 MiB": MIB, "10 MiB": 10 * MIB, "100 MiB": 100 * MIB}
MEMORY_SIZES = {"2 kiB": 2 * KIB, "10 kiB": 10 * KIB, "100 kiB": 100 * KIB, "1 MiB": MIB, "10 MiB": 10 * MIB}
NETWORK_SIZES = {
    "1 kiB": KIB,
    "10 kiB": 10 * KIB,
    "100 kiB": 100 * KIB,
    "1 MiB": MIB,
    "10 MiB": 10 * MIB,
    "50 MiB": 50 * MIB,
}

Bandwidths = dict[str, float]
"""Bytes per second, by the size of what was written, copied or fetched at a time."""


def measure_disk(seconds: float, *, dask_worker: Any) -> Bandwidths:
    """Write files where the worker keeps its own, for so long per size; each is on the disk before the next begins."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="bandwidth-", dir=dask_worker.local_directory or None) as folder:
        path = Path(folder) / "file"
        for name, size in DISK_SIZES.items():
            data = random.randbytes(size)
            begin, total = time.perf_counter(), 0
            while not total or time.perf_counter() < begin + seconds:
                with path.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                total += size
            found[name] = total / (time.perf_counter() - begin)
    return found


def measure_memory(seconds: float) -> Bandwidths:
    """Copy bytes, for so long per size."""
    found = {}
    for name, size in MEMORY_SIZES.items():
        data = random.randbytes(size)
        begin, total = time.perf_counter(), 0
        while not total or time.perf_counter() < begin + seconds:
            total += len(_copy(data))
        found[name] = total / (time.perf_counter() - begin)
    return found


async def measure_network(holder: str, keys: Mapping[str, str], seconds: float, *, dask_worker: Any) -> Bandwidths:
    """Get data from another worker, as a task's arguments are got, and read it; for so long per size.

    Args:
        holder: the other's address.
        keys: what it holds, by size.
        seconds: for each of them.
        dask_worker: this worker.
    """
    found = {}
    for name, key in keys.items():
        begin, total = time.perf_counter(), 0
        while not total or time.perf_counter() < begin + seconds:
            data = await dask_worker.fetch(holder, key)
            copy = await asyncio.to_thread(_copy, data) if len(data) >= MIB else _copy(data)
            total += len(copy)
        found[name] = total / (time.perf_counter() - begin)
    return found


def _copy(data: bytes) -> bytearray:
    return bytearray(data)


def mean(measured: list[Bandwidths]) -> Bandwidths:
    """What several workers found, on average, by size."""
    return {name: sum(one[name] for one in measured) / len(measured) for name in (measured[0] if measured else ())}
