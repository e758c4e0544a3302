"""The cluster in figures: for scripts, for Prometheus, and for pages whose websocket is blocked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from nbcluster.dashboard.text import display
from nbcluster.snapshot import ClusterView

STATES = ("released", "waiting", "queued", "no_worker", "processing", "memory", "erred")


def counts(view: ClusterView) -> dict[str, Any]:
    """One JSON object."""
    tasks: dict[str, int] = msgspec.to_builtins(view.tasks)
    workers = view.workers
    return {
        "name": view.name,
        "status": str(view.status),
        "workers": len(workers),
        "cores": sum(worker.nthreads for worker in workers),
        "clients": view.clients,
        "bytes": sum(worker.memory for worker in workers),
        "stored": sum(worker.stored for worker in workers),
        "shared": view.shared,
        "limit": sum(worker.memory_limit or 0 for worker in workers),
        "cpu": round(sum(worker.cpu for worker in workers), 1),
        "idle": sum(worker.processing == 0 for worker in workers),
        "saturated": sum(worker.processing > worker.nthreads for worker in workers),
        "tasks": sum(tasks[state] for state in STATES),
        "unrunnable": view.tasks.no_worker,
        **tasks,
        "prefixes": [{"name": display(prefix.name), **msgspec.to_builtins(prefix.counts)} for prefix in view.prefixes],
    }


def metrics(view: ClusterView) -> str:
    """Prometheus' text format."""
    workers = view.workers
    families: tuple[tuple[str, str, str, Iterable[tuple[dict[str, str], float]]], ...] = (
        ("nbcluster_workers", "gauge", "Workers that are there.", [({}, len(workers))]),
        ("nbcluster_workers_requested", "gauge", "Workers that there should be.", [({}, view.requested)]),
        ("nbcluster_clients", "gauge", "Connected clients.", [({}, view.clients)]),
        (
            "nbcluster_tasks",
            "gauge",
            "Tasks by state.",
            [({"state": state}, getattr(view.tasks, state)) for state in STATES],
        ),
        ("nbcluster_tasks_done_total", "counter", "Tasks completed since the start.", [({}, view.tasks.done)]),
        ("nbcluster_shared_bytes", "gauge", "Bytes in shared memory, each counted once.", [({}, view.shared)]),
        (
            "nbcluster_occupancy_seconds",
            "gauge",
            "Work that is assigned or queued.",
            [({}, view.occupancy)],
        ),
        *(
            (
                f"nbcluster_worker_{figure}",
                "gauge",
                text,
                [({"worker": str(worker.name)}, float(getattr(worker, attribute) or 0)) for worker in workers],
            )
            for figure, attribute, text in (
                ("threads", "nthreads", "Threads of a worker."),
                ("memory_bytes", "memory", "Resident bytes of a worker's process."),
                ("stored_bytes", "stored", "Bytes of the results that a worker holds."),
                ("memory_limit_bytes", "memory_limit", "A worker's memory limit; 0 if it has none."),
                ("cpu_percent", "cpu", "CPU use of a worker, per cent of one core."),
                ("processing", "processing", "Tasks assigned to a worker."),
            )
        ),
    )
    lines: list[str] = []
    for name, kind, text, samples in families:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{_labels(labels)} {value:g}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    inner = ",".join(f'{name}="{value}"' for name, value in _escaped(labels))
    return f"{{{inner}}}" if inner else ""


def _escaped(labels: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in labels.items():
        yield name, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
