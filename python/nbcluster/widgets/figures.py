"""What a view of a cluster adds up to, in numbers and in words: as the lab extension does it. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import PurePosixPath

from nbcluster.snapshot import ClusterView, OwnerView, TaskCounts
from nbcluster.types import Status
from nbcluster.units import format_bytes

ENDED = frozenset({Status.CLOSED, Status.FAILED})
"""Nothing comes after these."""

_NOT_READY = ENDED | {Status.CREATED, Status.STARTING, Status.CLOSING}

STATUS_TEXTS = {
    Status.CREATED: "Created",
    Status.STARTING: "Starting",
    Status.RUNNING: "Running",
    Status.PAUSED: "Paused",
    Status.RETIRING: "Retiring",
    Status.BROKEN: "Broken",
    Status.CLOSING: "Shutting down",
    Status.CLOSED: "Closed",
    Status.FAILED: "Failed",
}


@dataclass(frozen=True)
class Figures:
    """What a cluster's workers have and use, added up."""

    workers: int
    """Those that can run tasks."""
    threads: int
    memory: int
    """Bytes that the workers' processes hold."""
    memory_limit: int | None
    """Bytes that they may hold; None if one of them has no limit, or there are none."""
    cpu: float
    """Per cent of all their threads."""

    @property
    def memory_text(self) -> str:
        """``"1.20 GiB of 4.00 GiB"``."""
        used = format_bytes(self.memory)
        return used if self.memory_limit is None else f"{used} of {format_bytes(self.memory_limit)}"


@dataclass(frozen=True)
class Progress:
    """The tasks that there are right now, in the groups that people ask about."""

    finished: int
    failed: int
    running: int
    waiting: int

    @property
    def total(self) -> int:
        """All of them; those that nobody wants any more are not counted."""
        return self.finished + self.failed + self.running + self.waiting

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """The groups by name."""
        return (
            ("finished", self.finished),
            ("failed", self.failed),
            ("running", self.running),
            ("waiting", self.waiting),
        )


def is_ready(view: ClusterView) -> bool:
    """Whether the cluster takes orders now."""
    return view.status not in _NOT_READY


def figures_of(view: ClusterView) -> Figures:
    """Add up the figures of a cluster's workers."""
    ready = [worker for worker in view.workers if worker.status in (Status.RUNNING, Status.PAUSED)]
    limits = [worker.memory_limit for worker in ready if worker.memory_limit is not None]
    threads = sum(worker.nthreads for worker in ready)
    return Figures(
        workers=len(ready),
        threads=threads,
        memory=sum(worker.memory for worker in ready),
        memory_limit=sum(limits) if ready and len(limits) == len(ready) else None,
        cpu=sum(worker.cpu for worker in ready) / threads if threads else 0.0,
    )


def progress_of(tasks: TaskCounts) -> Progress:
    """Group the states of tasks."""
    return Progress(
        finished=tasks.memory,
        failed=tasks.erred,
        running=tasks.processing,
        waiting=tasks.waiting + tasks.queued + tasks.no_worker,
    )


def tasks_text(tasks: TaskCounts) -> str:
    """``"120 of 400"``, or what else there is to say about them."""
    progress = progress_of(tasks)
    if progress.total:
        return f"{progress.finished + progress.failed:,} of {progress.total:,}"
    return f"none now, {tasks.done:,} done so far" if tasks.done else "none yet"


def owner_text(owner: OwnerView | None) -> str:
    """On whose behalf it runs, or ``""``."""
    if owner is None:
        return ""
    if owner.kind == "notebook":
        return PurePosixPath(owner.path).name or "A notebook"
    if owner.kind == "kernel":
        return f"Kernel {owner.kernel_name}" if owner.kernel_name else "A kernel"
    return "This program's own" if owner.kind == "process" else "Kept until shut down"


def lease_text(owner: OwnerView | None, now: float) -> str:
    """``"ends in 4:59"`` when the owner is gone, or ``""``."""
    if owner is None or owner.lease is None:
        return ""
    minutes, seconds = divmod(max(0, round(owner.lease - now)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"ends in {hours}:{minutes:02}:{seconds:02}" if hours else f"ends in {minutes}:{seconds:02}"


def moment(seconds: float) -> str:
    """A moment in this machine's time zone, or nothing if there is none yet."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""


def share(part: float, whole: float | None) -> float:
    """Per cent of a whole, between 0 and 100."""
    return min(100.0, max(0.0, 100 * part / whole)) if whole else 0.0


def is_link(link: str) -> bool:
    """Whether a browser may be sent there: to a page, or a path on the server of the notebook."""
    return link.startswith(("http://", "https://")) or (link.startswith("/") and not link.startswith("//"))


def snippet(view: ClusterView) -> str:
    """The code that connects to the cluster from elsewhere."""
    return f"from nbcluster import Client\n\nclient = Client({view.address!r})\nclient"
