"""What a process has open: to see that nothing of shared memory is left."""

from __future__ import annotations

import os
from pathlib import Path


def open_files(pid: int | None = None) -> int:
    """How many descriptors a process has."""
    return len(list(Path(f"/proc/{pid or os.getpid()}/fd").iterdir()))


def shared_segments(pid: int | None = None) -> list[str]:
    """The descriptors and mappings of shared memory that a process has; none if it is gone."""
    process = Path(f"/proc/{pid or os.getpid()}")
    found = []
    try:
        for fd in (process / "fd").iterdir():
            try:
                target = os.readlink(fd)
            except FileNotFoundError:
                continue  # the one that lists the directory
            if "memfd:nbcluster " in target:
                found.append(f"{fd.name} {target}")
        found += [line for line in (process / "maps").read_text().splitlines() if "memfd:nbcluster " in line]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found
