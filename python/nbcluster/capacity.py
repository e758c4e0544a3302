"""How much of this machine there is for us, and who says so: the smallest of what several parties grant.

A container's limits are control groups; Binder and JupyterHub tell theirs in ``CPU_LIMIT`` and ``MEM_LIMIT``. Every
figure comes with its reason, because "why only two workers?" is what people ask.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
WORKERS_PER_CPU = 4
LOOK_AGAIN = 0.2
"""Seconds for which what is left of the memory is taken to be the same."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A limit, and what sets it."""

    value: float
    reason: str


def cpus(environment: Mapping[str, str] = os.environ, cgroups: Path = CGROUPS, own_cgroup: Path = OWN_CGROUP) -> Figure:
    """How many CPUs this process may use; a quota may grant a fraction of one.

    Args:
        environment: where ``CPU_LIMIT`` is looked up.
        cgroups: where control groups are mounted.
        own_cgroup: the file that says in which one this process is.
    """
    return smallest(_cpu_limits(environment, list(_own_folders(cgroups, own_cgroup))))


def cpu_count() -> int:
    """How many CPUs to plan with: at least one."""
    return max(1, math.floor(cpus().value))


def workers(cpu_figure: Figure) -> Figure:
    """How many workers one cluster can reasonably have: tasks that wait for something leave room for others."""
    most = max(1, math.floor(WORKERS_PER_CPU * cpu_figure.value))
    return Figure(value=most, reason=f"{WORKERS_PER_CPU} workers per CPU; {cpu_figure.reason}")


def memory(
    environment: Mapping[str, str] = os.environ, cgroups: Path = CGROUPS, own_cgroup: Path = OWN_CGROUP
) -> Figure:
    """How many bytes of memory this machine, and whoever runs it, grant us."""
    return smallest(_memory_limits(environment, list(_own_folders(cgroups, own_cgroup))))


class Shortage:
    """Tells whether little of the machine's memory is left; looks at most every ``LOOK_AGAIN`` seconds.

    Args:
        share: of the memory that this machine grants us, below which it is little.
        left: tells how many bytes are left.
        clock: seconds, from anywhere.
    """

    def __init__(
        self, share: float, left: Callable[[], float] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._enough = share * memory().value
        folders = limiting_memory()  # they are looked for once: there are many, and this may be asked in a hurry
        self._left = left or (lambda: left_memory(folders))
        self._clock = clock
        self._next_look = -math.inf
        self._short = False

    def __call__(self) -> bool:
        """True if it is short of memory."""
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + LOOK_AGAIN
            self._short = self._left() < self._enough
        return self._short


def limiting_memory(cgroups: Path = CGROUPS, own_cgroup: Path = OWN_CGROUP) -> list[Path]:
    """The folders of those control groups of this process that say how much memory they may use."""
    return list(dict.fromkeys(f for f in _own_folders(cgroups, own_cgroup) if (f / "memory.max").exists()))


def left_memory(folders: list[Path]) -> float:
    """How many bytes could still be had, of this machine and of these control groups."""
    left = _available_memory()
    for folder in folders:
        limit, used = _first(folder / "memory.max"), _first(folder / "memory.current")
        if limit is not None and used is not None:
            left = min(left, limit - used + _reclaimable(folder / "memory.stat"))
    return left


def _available_memory() -> float:
    if sys.platform == "linux":
        try:
            for line in Path("/proc/meminfo").read_text().splitlines():
                if line.startswith("MemAvailable:"):
                    return 1024 * float(line.split()[1])
        except OSError:
            pass  # a container that hides it
        return math.inf
    else:
        import psutil

        return float(psutil.virtual_memory().available)


def _reclaimable(file: Path) -> float:
    """What the kernel lets go of by itself: pages of files that are on a disk too."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return sum(float(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "active_file ")))


def smallest(figures: Iterator[Figure]) -> Figure:
    """The limit that counts."""
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


def _memory_limits(environment: Mapping[str, str], folders: list[Path]) -> Iterator[Figure]:
    yield Figure(value=_installed_memory(), reason="the machine's memory")
    for folder in folders:
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            if (limit := _first(folder / name)) is not None:
                yield Figure(value=limit, reason="the memory limit of the control group")
    if (limit := _variable(environment, "MEM_LIMIT")) is not None:
        yield Figure(value=limit, reason=f"MEM_LIMIT is {environment['MEM_LIMIT']}")


def _installed_memory() -> int:
    if sys.platform == "linux":
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    else:
        import psutil  # takes longer to import than everything here

        return int(psutil.virtual_memory().total)


def _own_folders(cgroups: Path, own_cgroup: Path) -> Iterator[Path]:
    """The folders of the control groups that this process is in: a limit on any level counts."""
    try:
        lines = own_cgroup.read_text().splitlines()
    except OSError:
        return  # not Linux, or no /proc: then there are no control groups to ask
    for line in lines:
        _, controllers, path = line.split(":", 2)
        # Version 2 has one tree, and names no controllers; version 1 has a tree for each.
        trees = [cgroups / name for name in (controllers, *controllers.split(","))] if controllers else [cgroups]
        for tree in trees:
            folder = tree / path.strip("/")
            yield from (place for place in (folder, *folder.parents) if place == tree or tree in place.parents)


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
