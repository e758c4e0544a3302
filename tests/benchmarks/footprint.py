"""Memory and processor time of this process and all that it started, from /proc."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import psutil

_PROC = Path("/proc")


def descendants() -> list[int]:
    """The processes below this one."""
    return [child.pid for child in psutil.Process().children(recursive=True)]


def pss(pids: Iterable[int]) -> int:
    """Bytes in use: proportional set size, with shared memory counted even where nobody has it mapped."""
    private = mapped = 0
    segments: dict[tuple[int, int], int] = {}
    for pid in pids:
        try:
            rollup = (_PROC / str(pid) / "smaps_rollup").read_text()
            shared = _field(rollup, "Pss_Shmem")
            private += _field(rollup, "Pss") - shared
            mapped += shared
            segments.update(_segments(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return private + max(mapped, sum(segments.values()))


def cpu(pids: Iterable[int]) -> float:
    """Seconds of processor time of all threads so far."""
    nanoseconds = 0
    for pid in pids:
        try:
            for thread in (_PROC / str(pid) / "task").iterdir():
                nanoseconds += int((thread / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return nanoseconds / 1e9


def named(part: str) -> list[int]:
    """The processes below this one with ``part`` in their command line."""
    return [pid for pid in descendants() if part in " ".join(psutil.Process(pid).cmdline())]


def _field(rollup: str, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB$", rollup, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def _segments(pid: int) -> dict[tuple[int, int], int]:
    """Bytes of the segments of shared memory that it has open."""
    found = {}
    for descriptor in (_PROC / str(pid) / "fd").iterdir():
        try:
            if os.readlink(descriptor).startswith(("/memfd:", "/dev/shm/")):
                status = descriptor.stat()
                found[status.st_dev, status.st_ino] = status.st_blocks * 512
        except FileNotFoundError:
            continue
    return found


def this_process() -> int:
    """The client's."""
    return os.getpid()
