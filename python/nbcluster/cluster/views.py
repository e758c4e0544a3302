"""Putting a cluster's view together, from what the scheduler and the crew know."""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING

import msgspec

from nbcluster import __version__
from nbcluster.snapshot import ClusterView, WorkerView
from nbcluster.types import Status

if TYPE_CHECKING:
    from nbcluster.cluster.runtime import ClusterRuntime


def make_view(runtime: ClusterRuntime) -> ClusterView:
    """The whole cluster at this moment."""
    spec, server = runtime.spec, runtime.server
    return ClusterView(
        id=spec.id,
        name=spec.name,
        status=runtime.status,
        address=runtime.address,
        dashboard_link=runtime.dashboard.link,
        workers=worker_views(runtime),
        requested=len(runtime.roster.names),
        threads_per_worker=spec.threads_per_worker,
        capacity=runtime.capacity,
        tasks=server.task_counts,
        prefixes=server.prefix_views,
        adaptive=runtime.adaptive.view,
        occupancy=server.occupancy,
        owner=runtime.owner,
        shared=runtime.shared_bytes,
        clients=server.client_count,
        started=runtime.started,
        time=time.time(),
        versions={"nbcluster": __version__, "python": platform.python_version()},
    )


def worker_views(runtime: ClusterRuntime) -> list[WorkerView]:
    """Those that are connected, and those that are on their way or cannot be started."""
    slots = runtime.crew.slots
    views = []
    for view in runtime.server.worker_views:
        slot = slots.pop(view.name, None)
        if slot is not None:
            view = msgspec.structs.replace(
                view,
                memory=slot.memory or view.memory,
                cpu=slot.cpu or view.cpu,
                memory_limit=slot.memory_limit,
                restarts=slot.restarts,
                last_exit=slot.last_exit,
            )
        views.append(view)
    for name, slot in slots.items():
        status = slot.status if slot.status != Status.RUNNING else Status.STARTING
        views.append(
            WorkerView(
                name=name,
                status=status,
                pid=slot.pid,
                nthreads=runtime.spec.threads_per_worker,
                memory_limit=slot.memory_limit,
                restarts=slot.restarts,
                last_exit=slot.last_exit,
            )
        )
    return sorted(views, key=lambda view: (isinstance(view.name, str), view.name))
