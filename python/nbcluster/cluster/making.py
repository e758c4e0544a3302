"""How a cluster's workers are made, for who asks: what ``worker_spec`` and ``new_worker_spec`` say."""

from __future__ import annotations

import itertools
import os
from typing import Any

from nbcluster.snapshot import ClusterView
from nbcluster.types import WorkerName


def made_of(view: ClusterView, names: set[WorkerName]) -> dict[WorkerName, dict[str, Any]]:
    """Class and options of these workers."""
    return {worker.name: _making(view, worker.memory_limit) for worker in view.workers if worker.name in names}


def next_of(view: ClusterView) -> dict[WorkerName, dict[str, Any]]:
    """Name, class and options of the worker that would come next."""
    taken = {worker.name for worker in view.workers}
    name = next(number for number in itertools.count() if number not in taken)
    limits = [worker.memory_limit for worker in view.workers]
    return {name: _making(view, limits[0] if limits else None)}


def _making(view: ClusterView, memory_limit: int | None) -> dict[str, Any]:
    from nbcluster.cluster.nanny import Nanny
    from nbcluster.cluster.servers import Worker

    in_process = any(worker.pid == os.getpid() for worker in view.workers)
    options = {"nthreads": view.threads_per_worker, "memory_limit": memory_limit}
    return {"cls": Worker if in_process else Nanny, "options": options}
