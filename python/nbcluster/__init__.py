"""A task cluster that lives in Jupyter.

    from nbcluster import Client
    client = Client()
    futures = client.map(simulate, parameters)
    best = max(client.gather(futures))

Public names are imported when they are first used: ``import nbcluster`` alone costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbcluster import lean

if TYPE_CHECKING:
    from nbcluster.client.actors import Actor, ActorFuture, BaseActorFuture
    from nbcluster.client.as_completed import as_completed, futures_of
    from nbcluster.client.client import Client
    from nbcluster.client.coordination.event import Event
    from nbcluster.client.coordination.locks import Lock, Semaphore
    from nbcluster.client.coordination.multi_lock import MultiLock
    from nbcluster.client.coordination.queue import Queue
    from nbcluster.client.coordination.variable import Variable
    from nbcluster.client.defaults import default_client
    from nbcluster.client.forgetting import fire_and_forget
    from nbcluster.client.future import Future
    from nbcluster.client.waiting import wait
    from nbcluster.cluster.adapting import Adaptive
    from nbcluster.cluster.local import LocalCluster
    from nbcluster.cluster.nanny import Nanny
    from nbcluster.cluster.servers import Scheduler, Worker
    from nbcluster.cluster.subprocess import SubprocessCluster
    from nbcluster.comm.security import Security
    from nbcluster.diagnostics.report import performance_report
    from nbcluster.diagnostics.task_metadata import get_task_metadata
    from nbcluster.diagnostics.task_stream import get_task_stream
    from nbcluster.errors import (
        CancelledError,
        FutureCancelledError,
        FuturesCancelledError,
        KilledWorker,
        Reschedule,
        TimeoutError,
    )
    from nbcluster.in_task import get_client, get_worker, local_client, rejoin, secede, warn, worker_client
    from nbcluster.plugins.base import NannyPlugin, SchedulerPlugin, WorkerPlugin
    from nbcluster.plugins.files import UploadDirectory, UploadFile
    from nbcluster.plugins.install import CondaInstall, Environ, InstallPlugin, PipInstall
    from nbcluster.task_output import print
    from nbcluster.types import Status
    from nbcluster.widgets.progress import progress

__version__ = "0.1.0"

_HOMES = {
    "Actor": "nbcluster.client.actors",
    "ActorFuture": "nbcluster.client.actors",
    "BaseActorFuture": "nbcluster.client.actors",
    "Adaptive": "nbcluster.cluster.adapting",
    "CancelledError": "nbcluster.errors",
    "Client": "nbcluster.client.client",
    "CondaInstall": "nbcluster.plugins.install",
    "Environ": "nbcluster.plugins.install",
    "Event": "nbcluster.client.coordination.event",
    "Future": "nbcluster.client.future",
    "FutureCancelledError": "nbcluster.errors",
    "FuturesCancelledError": "nbcluster.errors",
    "InstallPlugin": "nbcluster.plugins.install",
    "KilledWorker": "nbcluster.errors",
    "LocalCluster": "nbcluster.cluster.local",
    "Lock": "nbcluster.client.coordination.locks",
    "MultiLock": "nbcluster.client.coordination.multi_lock",
    "NannyPlugin": "nbcluster.plugins.base",
    "PipInstall": "nbcluster.plugins.install",
    "Queue": "nbcluster.client.coordination.queue",
    "Reschedule": "nbcluster.errors",
    "Nanny": "nbcluster.cluster.nanny",
    "Scheduler": "nbcluster.cluster.servers",
    "Status": "nbcluster.types",
    "Worker": "nbcluster.cluster.servers",
    "Security": "nbcluster.comm.security",
    "SchedulerPlugin": "nbcluster.plugins.base",
    "Semaphore": "nbcluster.client.coordination.locks",
    "SubprocessCluster": "nbcluster.cluster.subprocess",
    "TimeoutError": "nbcluster.errors",
    "UploadDirectory": "nbcluster.plugins.files",
    "UploadFile": "nbcluster.plugins.files",
    "Variable": "nbcluster.client.coordination.variable",
    "WorkerPlugin": "nbcluster.plugins.base",
    "as_completed": "nbcluster.client.as_completed",
    "default_client": "nbcluster.client.defaults",
    "get_task_metadata": "nbcluster.diagnostics.task_metadata",
    "get_task_stream": "nbcluster.diagnostics.task_stream",
    "performance_report": "nbcluster.diagnostics.report",
    "fire_and_forget": "nbcluster.client.forgetting",
    "futures_of": "nbcluster.client.as_completed",
    "get_client": "nbcluster.in_task",
    "get_worker": "nbcluster.in_task",
    "local_client": "nbcluster.in_task",
    "progress": "nbcluster.widgets.progress",
    "print": "nbcluster.task_output",
    "rejoin": "nbcluster.in_task",
    "secede": "nbcluster.in_task",
    "wait": "nbcluster.client.waiting",
    "warn": "nbcluster.in_task",
    "worker_client": "nbcluster.in_task",
}

__all__ = [
    "Actor",
    "ActorFuture",
    "Adaptive",
    "BaseActorFuture",
    "CancelledError",
    "Client",
    "CondaInstall",
    "Environ",
    "Event",
    "Future",
    "FutureCancelledError",
    "FuturesCancelledError",
    "InstallPlugin",
    "KilledWorker",
    "LocalCluster",
    "Lock",
    "MultiLock",
    "Nanny",
    "NannyPlugin",
    "PipInstall",
    "Queue",
    "Reschedule",
    "Scheduler",
    "SchedulerPlugin",
    "Security",
    "Semaphore",
    "Status",
    "SubprocessCluster",
    "TimeoutError",
    "UploadDirectory",
    "UploadFile",
    "Variable",
    "Worker",
    "WorkerPlugin",
    "as_completed",
    "default_client",
    "fire_and_forget",
    "futures_of",
    "get_client",
    "get_task_metadata",
    "get_task_stream",
    "get_worker",
    "local_client",
    "performance_report",
    "print",
    "progress",
    "rejoin",
    "secede",
    "wait",
    "warn",
    "worker_client",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(lean.import_for_user(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from nbcluster.jupyter.extension import NbclusterExtension

    return [{"module": "nbcluster", "app": NbclusterExtension}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "nbcluster"}]
