"""What is computed: streams of tasks, made as they are needed, so that ten million cost no memory.

Every task says how long it takes and how large its result is; nothing else of it matters to a scheduler.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from nbcluster.types import Key

_ARGUMENTS = struct.Struct("<dq")
SMALL = 100
"""Bytes of a result that travels with the report of its completion."""
MIB = 2**20
PART = 64 * 2**10
"""Bytes of a result that stays where it was computed."""

SHARED_KEY = "shared-0"
"""Data that every worker is sent before the workload ``shared`` begins."""
SHARED_BYTES = MIB


class StreamedTask(NamedTuple):
    """One task of a stream; those that it depends on came before it."""

    key: Key
    duration: float
    """Seconds, on a worker of speed 1."""
    nbytes: int = SMALL
    dependencies: tuple[Key, ...] = ()
    dependents: int = 0
    """How many later tasks of the stream depend on it."""
    level: int = 0
    """Greater than those of its dependencies."""
    gpus: int = 0

    @property
    def function(self) -> str:
        """What comes before the dash."""
        return self.key.partition("-")[0]


def arguments(task: StreamedTask) -> bytes:
    """What travels as the task's pickled arguments."""
    return _ARGUMENTS.pack(task.duration, task.nbytes)


def read_arguments(data: bytes) -> tuple[float, int]:
    """The duration and the size of the result."""
    duration, nbytes = _ARGUMENTS.unpack(data)
    return duration, nbytes


Stream = Callable[[int, float, random.Random], Iterator[StreamedTask]]
"""About so many tasks, none shorter than so many seconds."""


def map_(tasks: int, shortest: float, dice: random.Random) -> Iterator[StreamedTask]:
    """Independent tasks that take about equally long."""
    for number in range(tasks):
        yield StreamedTask(f"map-{number}", shortest * (1.0 + 0.2 * dice.random()))


def skewed(tasks: int, shortest: float, dice: random.Random) -> Iterator[StreamedTask]:
    """Independent tasks, a few of which take up to a hundred times as long as most: a Pareto distribution, cut off."""
    for number in range(tasks):
        yield StreamedTask(f"skewed-{number}", shortest * min(100.0, (1.0 - dice.random()) ** (-1 / 1.5)))


def reduction(tasks: int, shortest: float, dice: random.Random) -> Iterator[StreamedTask]:
    """One tree: leaves, of which four at a time are combined, until one result is left."""
    pending: list[list[Key]] = [[]]
    """What is still to be combined, by level; always something on the top one, so that nothing but the end is last."""
    combined = 0

    def lasting() -> float:
        return shortest * (1.0 + 0.2 * dice.random())

    def combine(level: int, count: int, dependents: int) -> StreamedTask:
        nonlocal combined
        combined += 1
        key = f"combine-{combined}"
        inputs, pending[level] = tuple(pending[level][:count]), pending[level][count:]
        if level + 1 == len(pending):
            pending.append([])
        pending[level + 1].append(key)
        return StreamedTask(key, lasting(), PART, inputs, dependents, level + 1)

    for number in range(max(1, tasks * 3 // 4)):
        key = f"leaf-{number}"
        yield StreamedTask(key, lasting(), PART, (), 1)
        pending[0].append(key)
        level = 0
        while len(pending[level]) > 4:
            yield combine(level, 4, 1)
            level += 1
    top = len(pending) - 1
    for level in range(top + 1):
        if pending[level]:
            yield combine(level, len(pending[level]), 0 if level == top else 1)


def shuffle(tasks: int, shortest: float, dice: random.Random) -> Iterator[StreamedTask]:
    """Groups of 8 partitions of 1 MiB: each is split into 8 parts, and each new partition needs a part of every old."""

    def lasting() -> float:
        return shortest * (1.0 + 0.2 * dice.random())

    for group in range(max(1, tasks // 80)):
        for old in range(8):
            yield StreamedTask(f"load-{group}.{old}", lasting(), MIB, (), 8)
        for old in range(8):
            for new in range(8):
                yield StreamedTask(f"split-{group}.{old}.{new}", lasting(), MIB // 8, (f"load-{group}.{old}",), 1, 1)
        for new in range(8):
            parts = tuple(f"split-{group}.{old}.{new}" for old in range(8))
            yield StreamedTask(f"join-{group}.{new}", lasting(), SMALL, parts, 0, 2)


def shared(tasks: int, shortest: float, dice: random.Random) -> Iterator[StreamedTask]:
    """Independent tasks that all need the same data, which every worker holds."""
    for number in range(tasks):
        yield StreamedTask(f"use-{number}", shortest * (1.0 + 0.2 * dice.random()), SMALL, (SHARED_KEY,))


def resources(tasks: int, shortest: float, dice: random.Random) -> Iterator[StreamedTask]:
    """Independent tasks, one in forty of which needs a GPU, as one in ten workers has."""
    for number in range(tasks):
        duration = shortest * (1.0 + 0.2 * dice.random())
        if number % 40 == 0:
            yield StreamedTask(f"train-{number}", duration, gpus=1)
        else:
            yield StreamedTask(f"prepare-{number}", duration)


class Workload(NamedTuple):
    """A stream, and the workers that it runs on."""

    name: str
    title: str
    stream: Stream
    churn: float = 0.0
    """The share of the workers that crash while it runs; as many go gently, and as many join as leave."""
    uneven: bool = False
    """Workers are up to 30 % slower or faster."""
    gpu_workers: float = 0.0
    shares_data: bool = False


WORKLOADS: Mapping[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("map", "Map", map_),
        Workload("reduction", "Tree reduction", reduction),
        Workload("shuffle", "Shuffle", shuffle),
        Workload("skewed", "Skewed durations", skewed),
        Workload("churn", "Workers come and go", reduction, churn=0.1),
        Workload("uneven", "Fast and slow workers", map_, uneven=True),
        Workload("shared", "Shared data", shared, shares_data=True),
        Workload("resources", "Resources", resources, gpu_workers=0.1),
    )
}
