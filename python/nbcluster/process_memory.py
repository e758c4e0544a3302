"""How much memory a process uses: a figure that is cheap, and one that counts shared pages fairly."""

from __future__ import annotations

import os
import sys


def resident(pid: int) -> int:
    """Bytes of memory that a process has, those included that it shares with others. 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0  # gone


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
