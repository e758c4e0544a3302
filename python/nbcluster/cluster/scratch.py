"""Where the workers of a cluster put what they have no room for in memory: a directory of the cluster's own, on a disk.

    <local_directory, or the system's for temporary files>/
        nbcluster-scratch-<uid>-<random>/, 0700         one per cluster
            lock                                        held by the cluster's process as long as it lives
            spill-<pid>/                                a worker's
            worker-<pid>-<random>/                      for its tasks' files, once one has asked for it
            uploads/                                    modules that all workers import

The directory for sockets and secrets will not do: it is often in memory. What a dead cluster left the next removes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from nbcluster.comm.credentials import try_lock
from nbcluster.errors import ClusterError
from nbcluster.worker.folders import own_folders
from nbcluster.worker.spilling import spill_path

IN_MEMORY = frozenset(["tmpfs", "ramfs", "devtmpfs"])
"""File systems that are no disk."""


class Scratch:
    """The directory of one cluster, from now until :meth:`remove`.

    Args:
        parent: where it is to be; None: on a disk, where the system keeps temporary files.

    Raises:
        ClusterError: nothing can be written there.
    """

    def __init__(self, parent: str | os.PathLike[str] | None = None) -> None:
        place = _choose() if parent is None else Path(parent).absolute()
        self.on_disk = place is not None
        """False if there is only memory to write to: nothing is won by that."""
        place = place or Path(tempfile.gettempdir())
        prefix = f"nbcluster-scratch-{os.getuid() if sys.platform != 'win32' else os.getlogin()}-"
        try:
            place.mkdir(parents=True, exist_ok=True)
            _sweep(place, prefix)
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
            self._lock = try_lock(self.path / "new")
            os.rename(self.path / "new", self.path / "lock")  # locked from the moment at which it is there
        except OSError as error:
            raise ClusterError(
                f"workers cannot put files into {place}: {error}; give another local_directory"
            ) from error
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"<Scratch {self.path}>"

    def remove_worker(self, pid: int) -> None:
        """Remove what a worker left that has died."""
        for path in (spill_path(str(self.path), pid), *own_folders(self.path, pid)):
            shutil.rmtree(path, ignore_errors=True)

    def remove(self) -> None:
        """Remove it, with all that is in it. Idempotent; a forked child's copy does nothing."""
        if self._lock is None or self._pid != os.getpid():
            return
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        self._lock = None


def _choose() -> Path | None:
    candidates = [Path(tempfile.gettempdir())]
    if sys.platform != "win32":
        candidates.append(Path("/var/tmp"))
    return next((path for path in candidates if os.access(path, os.W_OK | os.X_OK) and not _in_memory(path)), None)


def _in_memory(path: Path) -> bool:
    if sys.platform != "linux":
        return False
    real = path.resolve()
    with open("/proc/self/mounts") as file:
        # The kernel writes a space in a name as \040. What is mounted later hides what was there.
        mounts = {line[1].replace("\\040", " "): line[2] for line in map(str.split, file)}
    nearest = next((str(place) for place in (real, *real.parents) if str(place) in mounts), "/")
    return mounts.get(nearest) in IN_MEMORY


def _sweep(place: Path, prefix: str) -> None:
    """Remove the directories of this user's clusters whose processes are gone."""
    for path in place.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # another sweeps at the same time
            status = path.lstat()
            ours = sys.platform == "win32" or status.st_uid == os.geteuid()
            if not (stat.S_ISDIR(status.st_mode) and ours and (path / "lock").is_file()):
                continue
            lock = try_lock(path / "lock")
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)
