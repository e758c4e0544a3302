"""What the plots show, as plain columns: no Bokeh, no clock, no I/O.

    ClusterView ──▶ progress, memory, processing     (each a ``Bars``: the whole picture, small)
    TaskRecord* ──▶ task stream                      (a ``StreamUpdate``: only what the asker has not seen)

One source serves all open pages. Colours are numbers here, indices into a theme's palette: pages differ in theme.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nbcluster.dashboard.columns import Bars, Columns, StreamUpdate
from nbcluster.dashboard.prefix_progress import PrefixProgress
from nbcluster.dashboard.stream_window import StreamWindow
from nbcluster.dashboard.text import display, format_bytes, format_count, plural
from nbcluster.snapshot import ClusterView, TaskRecord, WorkerView
from nbcluster.types import Status, WorkerName

NEAR_LIMIT = 0.8
"""The share of its memory limit above which a worker is shown as short of memory."""
CLOSE_UP = 4
"""Limits are in view unless they are more than so many times what is used."""


class Source:
    """Everything that the pages of one cluster show.

    Args:
        utc_offset: seconds that the task stream's clock is ahead of UTC.
        hues: how many colours there are before they start over.
        whole: the task stream has all that it was given, not only what is recent.
    """

    def __init__(self, utc_offset: float = 0.0, hues: int = 8, whole: bool = False) -> None:
        self.view: ClusterView | None = None
        self._hues = _Hues(hues)
        self._stream = StreamWindow(utc_offset, whole=whole)
        self._progress = PrefixProgress()

    @property
    def last_record(self) -> int:
        """The number of the last record that it was given."""
        return self._stream.last_record

    def set_view(self, view: ClusterView) -> None:
        """Show this view from now on."""
        self.view = view
        self._progress.update(view.prefixes)
        for prefix in view.prefixes:  # in the scheduler's order, not in that of completion
            self._hues[prefix.name]
        self._stream.set_threads((worker.name, worker.nthreads) for worker in view.workers)

    def add_records(self, records: Sequence[TaskRecord]) -> None:
        """Add completed runs to the task stream."""
        self._stream.add(records)

    def task_stream(self, cursor: tuple[int, int] | None = None) -> StreamUpdate:
        """What is new since ``cursor``, the one of the last update; everything at first."""
        return self._stream.since(cursor, self._hues)

    def progress(self) -> Bars:
        """How far the tasks of each function are."""
        return self._progress.bars(self._hues)

    def memory(self) -> Bars:
        """Bytes per worker: results, the rest of the process, the limit."""
        workers = self._workers()
        memory = [max(worker.memory, worker.stored) for worker in workers]
        limits = [worker.memory_limit or 0 for worker in workers]
        written = [_of_limit(*pair) for pair in zip(memory, limits, strict=True)]
        columns: Columns = {
            "y": list(range(len(workers))),
            "stored": [worker.stored for worker in workers],
            "memory": memory,
            "limit": [limit or float("nan") for limit in limits],
            "near": [int(0 < NEAR_LIMIT * limit < used) for used, limit in zip(memory, limits, strict=True)],
            "worker": [_title(worker) for worker in workers],
            "of": written,
            "results": [format_bytes(worker.stored) for worker in workers],
        }
        used, limit = max(memory, default=0), max(limits, default=0)
        # Far from their limits, bars that are to scale with them would be slivers.
        upper = max(used, min(limit, CLOSE_UP * used))
        texts = written if upper < limit else [format_bytes(one) for one in memory]
        caption = _of_limit(sum(memory), sum(limits) if all(limits) else 0) if workers else ""
        if self.view is not None and self.view.shared:
            caption += f" · {format_bytes(self.view.shared)} shared"
        return Bars(columns, _labels(workers), caption, texts, upper=float(upper))

    def processing(self) -> Bars:
        """Tasks per worker: those that run, and those that wait in the worker's own queue."""
        workers = self._workers()
        executing = [min(worker.executing, worker.processing) for worker in workers]
        columns: Columns = {
            "y": list(range(len(workers))),
            "executing": executing,
            "processing": [worker.processing for worker in workers],
            "waiting": [worker.processing - running for worker, running in zip(workers, executing, strict=True)],
            "worker": [_title(worker) for worker in workers],
            "done": [format_count(worker.done) for worker in workers],
        }
        caption = ""
        if workers:
            caption = f"{format_count(sum(executing))} running"
            waiting = sum(columns["waiting"])
            caption += f" · {format_count(waiting)} next" if waiting else ""
        texts = [format_count(n) if n else "" for n in columns["processing"]]
        return Bars(columns, _labels(workers), caption, texts, upper=float(max(columns["processing"], default=0)))

    def summary(self) -> str:
        """The whole cluster in one line."""
        if self.view is None:
            return ""
        workers = self.view.workers
        parts = [plural(len(workers), "worker")]
        if workers:
            parts.append(plural(sum(worker.nthreads for worker in workers), "thread"))
            parts.append(f"CPU {sum(worker.cpu for worker in workers):.0f} %")
        if self.view.status != Status.RUNNING:
            parts.insert(0, str(self.view.status))
        return " · ".join(parts)

    def _workers(self) -> list[WorkerView]:
        return sorted(self.view.workers, key=lambda worker: worker_order(worker.name)) if self.view else []


class _Hues(dict[str, int]):
    """Gives every prefix a colour of its own, in the order of appearance, and keeps it."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def __missing__(self, prefix: str) -> int:
        hue = self[prefix] = len(self) % self.count
        return hue


def worker_order(name: WorkerName) -> tuple[bool, int, str]:
    """Sorts workers as people count: 0, 1, 2, … 10, and named ones behind them."""
    return (False, name, "") if isinstance(name, int) else (True, 0, name)


def _of_limit(used: int, limit: int) -> str:
    return f"{format_bytes(used)} of {format_bytes(limit)}" if limit else format_bytes(used)


def _labels(workers: Iterable[WorkerView]) -> list[str]:
    return [display(worker.name, limit=14) for worker in workers]


def _title(worker: WorkerView) -> str:
    """A worker in a tooltip: its name, and its state unless it is the usual one."""
    name = display(worker.name)
    return name if worker.status == Status.RUNNING else f"{name} ({worker.status})"
