"""A folder of a worker's own, in the folder that the workers of a cluster share.

Tasks know it as ``get_worker().local_directory``. It is made when somebody first asks for it, and removed with
its worker, or by whoever saw its process end.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path


class OwnFolder:
    """One worker's.

    Args:
        shared: the folder that it is to be in; empty if there is none.
        id: a text that no other worker has.
    """

    def __init__(self, shared: str, id: str) -> None:
        self._path = Path(shared) / f"{_prefix(os.getpid())}{id.removeprefix('Worker-')[:8]}" if shared else None
        self._removed = False

    @property
    def path(self) -> str:
        """Where it is, and from now on it is there; empty if it has no place to be."""
        if self._path is None:
            return ""
        if not self._removed:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(self._path)

    @property
    def place(self) -> str:
        """The same, but it is not made for that."""
        return "" if self._path is None else str(self._path)

    def remove(self) -> None:
        """Remove it, with all that is in it."""
        self._removed = True
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)


def own_folders(shared: Path, pid: int) -> list[Path]:
    """Those of the workers of one process."""
    return list(shared.glob(f"{_prefix(pid)}*"))


def _prefix(pid: int) -> str:
    return f"worker-{pid}-"
