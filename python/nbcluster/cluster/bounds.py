"""How many workers a number of cores or an amount of memory is. Pure: what there is comes as a view."""

from __future__ import annotations

import math

from nbcluster.arguments import check_whole
from nbcluster.commands import MOST_WORKERS
from nbcluster.snapshot import ClusterView
from nbcluster.units import parse_bytes


def workers_for(view: ClusterView, n: int | None, memory: int | str | None, cores: int | None) -> int:
    """So many workers that all of these are reached.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
    """
    wanted = 0 if n is None and not (memory is None and cores is None) else n
    wanted = check_whole("n", wanted, least=0, most=MOST_WORKERS)
    if cores is not None:
        cores = check_whole("cores", cores, least=0, most=MOST_WORKERS * view.threads_per_worker)
        wanted = max(wanted, math.ceil(cores / view.threads_per_worker))
    if memory is not None:
        wanted = max(wanted, math.ceil(_workers_with(view, "memory", memory)))
    return wanted


def limits_for(
    view: ClusterView,
    minimum: int,
    maximum: float | None,
    minimum_cores: int | None,
    maximum_cores: int | None,
    minimum_memory: int | str | None,
    maximum_memory: int | str | None,
) -> tuple[int, float | None]:
    """The least and the most workers of ``adapt()``: whatever is tightest. None is no limit.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
    """
    for name, value in (("minimum_cores", minimum_cores), ("maximum_cores", maximum_cores)):
        if value is not None:
            check_whole(name, value, least=0)
    threads = view.threads_per_worker
    least, most = [], [] if maximum is None else [maximum]
    if minimum_cores is not None:
        least.append(math.ceil(minimum_cores / threads))
    if minimum_memory is not None:
        least.append(math.ceil(_workers_with(view, "minimum_memory", minimum_memory)))
    if maximum_cores is not None:
        most.append(maximum_cores // threads)
    if maximum_memory is not None:
        most.append(math.floor(_workers_with(view, "maximum_memory", maximum_memory)))
    return max([minimum, *least]) if least else minimum, min(most) if most else None


def _workers_with(view: ClusterView, name: str, memory: int | str) -> float:
    total = parse_bytes(memory, name) if isinstance(memory, str) else memory
    check_whole(name, total, least=0)
    limits = [worker.memory_limit for worker in view.workers if worker.memory_limit]
    if not limits:
        raise ValueError(f"{name}={memory!r} needs workers that have a memory limit; give a number of workers")
    return total / limits[0]
