"""How much memory a process uses: a figure that is cheap, and one that counts shared pages fairly."""

from __future__ import annotations

import functools
import os
import sys


def resident(pid: int) -> int:
    """Bytes of memory that a process has, those included that it shares with others. 0 if it is gone."""
    if sys.platform != "linux":
        import psutil

        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return 0
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return _resident(file.read())
    except OSError:
        return 0  # gone


def own_resident() -> int:
    """The same of this process, for those who ask again and again: its file stays open. 0 if it has none."""
    pid = os.getpid()
    if sys.platform != "linux":
        return resident(pid)
    try:
        return _resident(os.pread(_own_statm(pid), 128, 0))
    except OSError:
        return 0  # there is no /proc here


@functools.lru_cache(maxsize=1)
def _own_statm(pid: int) -> int:
    """A descriptor that a fork of this process, which has another ``pid``, does not use."""
    return os.open("/proc/self/statm", os.O_RDONLY)


def _resident(statm: bytes) -> int:
    return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def used(pid: int) -> int:
    """Memory of its own, and a fair share of what it shares; files in memory can be dropped and do not count."""
    if sys.platform != "linux":
        import psutil

        try:
            return int(psutil.Process(pid).memory_full_info().uss)
        except psutil.Error:
            return 0
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            lines = file.read().splitlines()[1:]
    except OSError:
        return resident(pid)  # an old kernel, or it is not ours to look at
    sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(b":") for line in lines)}
    if b"Pss_Anon" not in sizes:
        return 1024 * (sizes.get(b"Private_Clean", 0) + sizes.get(b"Private_Dirty", 0))
    return 1024 * (sizes[b"Pss_Anon"] + sizes[b"Pss_Shmem"] + sizes.get(b"SwapPss", 0))
