"""How much of this machine one cluster of this server may use: what the machine grants, and the administrator."""

from __future__ import annotations

from nbcluster.capacity import Figure, cpus, memory, workers
from nbcluster.jupyter.models import Capacity


def measure(max_workers: int | None = None, max_memory: int | None = None) -> Capacity:
    """What one cluster may use now, and why no more.

    Args:
        max_workers: what the administrator allows.
        max_memory: the same, in bytes.
    """
    processors = cpus()
    reasonable = workers(processors)
    return Capacity(
        cpus=processors,
        memory=_at_most(memory(), max_memory, "max_memory"),
        workers=_at_most(reasonable, max_workers, "max_workers"),
    )


def _at_most(figure: Figure, limit: int | None, setting: str) -> Figure:
    if limit is None or figure.value <= limit:
        return figure
    return Figure(value=limit, reason=f"the administrator's limit, ClusterManager.{setting}")
