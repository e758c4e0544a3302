"""All processes that descend from something a test started, wherever they have been re-parented to.

Whatever the test starts inherits an environment variable with a random value; nobody outside has it.
"""

from __future__ import annotations

import secrets
from pathlib import Path

VARIABLE = "NBCLUSTER_TEST_MARK"


class Mark:
    """One random value, and the processes that carry it in their environment."""

    def __init__(self) -> None:
        self.value = secrets.token_hex(8)
        self._needle = f"{VARIABLE}={self.value}".encode()

    @property
    def environment(self) -> dict[str, str]:
        """What to add to the environment of what the test starts."""
        return {VARIABLE: self.value}

    def processes(self) -> dict[int, str]:
        """The command lines, by process number, of those that live; a zombie does not."""
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdecimal():
                continue
            try:
                if self._needle in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it has ended, or is somebody else's
                continue
        return {pid: line for pid, line in found.items() if line}
