"""What one cluster of this server may use: the machine's capacity, and the administrator's limits."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

from nbcluster import capacity
from nbcluster.capacity import CGROUPS, OWN_CGROUP, Figure, smallest
from nbcluster.jupyter.models import Capacity


def measure(
    max_workers: int | None = None,
    max_memory: int | None = None,
    environment: Mapping[str, str] = os.environ,
    cgroups: Path = CGROUPS,
    own_cgroup: Path = OWN_CGROUP,
) -> Capacity:
    """What one cluster may use now.

    Args:
        max_workers: what the administrator allows.
        max_memory: the same, in bytes.
        environment: where ``CPU_LIMIT`` and ``MEM_LIMIT`` are looked up.
        cgroups: where control groups are mounted.
        own_cgroup: the file that says in which one this process is.
    """
    cpus = capacity.cpus(environment, cgroups, own_cgroup)
    memories = [capacity.memory(environment, cgroups, own_cgroup)]
    if max_memory is not None:
        memories.append(Figure(value=max_memory, reason="the administrator's limit, ClusterManager.max_memory"))
    workers = [Figure(value=max(1, math.floor(cpus.value)), reason=f"one worker per CPU; {cpus.reason}")]
    if max_workers is not None:
        workers.append(Figure(value=max_workers, reason="the administrator's limit, ClusterManager.max_workers"))
    return Capacity(cpus=cpus, memory=smallest(iter(memories)), workers=smallest(iter(workers)))
