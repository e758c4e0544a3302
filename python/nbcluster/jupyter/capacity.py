"""How much of this machine there is for us, and who says so: the smallest of what several parties grant.

A container's limits are control groups; Binder and JupyterHub tell theirs in ``CPU_LIMIT`` and ``MEM_LIMIT``;
the administrator of the server may set some too. Every figure comes with its reason, because "why only two
workers?" is what people ask.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from nbcluster.jupyter.models import Capacity, Figure

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def measure(
    max_workers: int | None = None,
    max_memory: int | None = None,
    environment: Mapping[str, str] = os.environ,
    cgroups: Path = CGROUPS,
    own_cgroup: Path = OWN_CGROUP,
) -> Capacity:
    """What one cluster may use now.

    Args:
        max_workers: what the administrator allows.
        max_memory: the same, in bytes.
        environment: where ``CPU_LIMIT`` and ``MEM_LIMIT`` are looked up.
        cgroups: where control groups are mounted.
        own_cgroup: the file that says in which one this process is.
    """
    folders = list(_own_folders(cgroups, own_cgroup))
    cpus = _smallest(_cpu_limits(environment, folders))
    memory = _smallest(_memory_limits(environment, folders, max_memory))
    one_each = Figure(value=max(1, math.floor(cpus.value)), reason=f"one worker per CPU; {cpus.reason}")
    workers = [one_each]
    if max_workers is not None:
        workers.append(
            Figure(value=max_workers, reason="the administrator's limit, ClusterManager.max_workers")
        )
    return Capacity(cpus=cpus, memory=memory, workers=_smallest(iter(workers)))


def _smallest(figures: Iterator[Figure]) -> Figure:
    return min(figures, key=lambda figure: figure.value)


def _cpu_limits(environment: Mapping[str, str], folders: list[Path]) -> Iterator[Figure]:
    yield Figure(value=os.cpu_count() or 1, reason="the machine's CPUs")
    if hasattr(os, "sched_getaffinity"):
        yield Figure(value=len(os.sched_getaffinity(0)), reason="the CPUs that this process may run on")
    for folder in folders:
        quota, period = _numbers(folder / "cpu.max") or (None, None)
        if quota is None:
            quota, period = _first(folder / "cpu.cfs_quota_us"), _first(folder / "cpu.cfs_period_us")
        if quota and period and quota > 0:
            yield Figure(value=quota / period, reason="the CPU quota of the control group")
    if (limit := _variable(environment, "CPU_LIMIT")) is not None:
        yield Figure(value=limit, reason=f"CPU_LIMIT is {environment['CPU_LIMIT']}")


def _memory_limits(
    environment: Mapping[str, str], folders: list[Path], max_memory: int | None
) -> Iterator[Figure]:
    yield Figure(value=psutil.virtual_memory().total, reason="the machine's memory")
    for folder in folders:
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            if (limit := _first(folder / name)) is not None:
                yield Figure(value=limit, reason="the memory limit of the control group")
    if (limit := _variable(environment, "MEM_LIMIT")) is not None:
        yield Figure(value=limit, reason=f"MEM_LIMIT is {environment['MEM_LIMIT']}")
    if max_memory is not None:
        yield Figure(value=max_memory, reason="the administrator's limit, ClusterManager.max_memory")


def _own_folders(cgroups: Path, own_cgroup: Path) -> Iterator[Path]:
    """The folders of the control groups that this process is in: a limit on any level counts."""
    try:
        lines = own_cgroup.read_text().splitlines()
    except OSError:
        return  # not Linux, or no /proc: then there are no control groups to ask
    for line in lines:
        _, controllers, path = line.split(":", 2)
        # Version 2 has one tree, and names no controllers; version 1 has a tree for each.
        trees = (
            [cgroups / name for name in (controllers, *controllers.split(","))] if controllers else [cgroups]
        )
        for tree in trees:
            folder = tree / path.strip("/")
            yield from (
                place for place in (folder, *folder.parents) if place == tree or tree in place.parents
            )


def _numbers(file: Path) -> tuple[float | None, float | None] | None:
    try:
        words = file.read_text().split()
    except OSError:
        return None
    return (_number(words[0]), _number(words[1])) if len(words) == 2 else None


def _first(file: Path) -> float | None:
    try:
        return _number(file.read_text().split()[0])
    except (OSError, IndexError):
        return None


def _variable(environment: Mapping[str, str], name: str) -> float | None:
    number = _number(environment.get(name, ""))
    return number if number is not None and number > 0 else None


def _number(text: str) -> float | None:
    """Control groups say ``max`` where there is no limit, spawners nothing at all."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
