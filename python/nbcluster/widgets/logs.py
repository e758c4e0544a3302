"""The log of a cluster: it follows, and shows what one looks for."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Any

import ipywidgets as w  # type: ignore[import-untyped]

from nbcluster.commands import AnyAnswer, GetLogs, Logs
from nbcluster.errors import ClusterClosedError
from nbcluster.snapshot import ClusterView, LogLine
from nbcluster.types import WorkerName
from nbcluster.widgets.figures import ENDED
from nbcluster.widgets.fragments import hint, log_lines, notice
from nbcluster.widgets.orders import Orders, describe

INTERVAL = 1.0
"""Seconds between two looks at the log, while somebody looks at it."""

MOST_LINES = 5_000
"""So many are kept, for the search."""

MOST_ROWS = 400
"""More rows than these make a browser slow."""

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_Filter = tuple["str | None", "WorkerName | None"]


class LogView:
    """What the cluster wrote, newest last. It asks for nothing as long as nobody looks."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._lines: deque[LogLine] = deque(maxlen=MOST_LINES)
        self._after = 0
        self._filter: _Filter = (None, None)
        self._open = False
        self._ended = False
        self._asking = False
        self._timer: asyncio.TimerHandle | None = None
        self._names: list[WorkerName] = []

        self.level = w.Dropdown(
            options=[("All levels", None), *((f"{level} and worse", level) for level in _LEVELS)],
            layout={"width": "auto"},
        )
        self.worker = w.Dropdown(options=[("All workers", None)], layout={"width": "auto"})
        self.search = w.Text(placeholder="Search", layout={"flex": "1 1 120px", "width": "auto"})
        self.follow = w.Checkbox(value=True, description="Follow", indent=False, layout={"width": "auto"})
        for name in ("level", "worker", "search", "follow"):
            getattr(self, name).add_class(f"nbcluster-log-{name}")
        self._note = w.HTML(layout={"display": "none"})
        self._box = w.HTML(log_lines([], 0, "Reading…"))
        self._listen(self.level, self._refilter)
        self._listen(self.worker, self._refilter)
        self._listen(self.search, self._draw_lines)
        self._listen(self.follow, self._look)
        self.widget = w.VBox([w.HBox([self.level, self.worker, self.search, self.follow]), self._note, self._box])

    # --- on the loop ------------------------------------------------------------------------------

    def open(self, is_open: bool) -> None:
        """Somebody looks at it, or does so no longer."""
        if is_open and not self._open:
            self._open = True
            self._look()
        self._open = is_open

    def draw(self, view: ClusterView) -> None:
        """Offer the workers that there are."""
        self._ended = view.status in ENDED
        names = [worker.name for worker in view.workers]
        chosen = self.worker.value
        if chosen is not None and chosen not in names:
            names.append(chosen)
        if names != self._names:
            self._names = names
            # New options select the first one, so the choice is made again.
            self.worker.options = [("All workers", None), *((f"Worker {name}", name) for name in names)]
            self.worker.value = chosen

    def _listen(self, widget: Any, react: Any) -> None:
        widget.observe(lambda _change: self._orders.post(react), "value")

    def _refilter(self) -> None:
        wanted: _Filter = (self.level.value, self.worker.value)
        if wanted != self._filter:
            self._filter = wanted
            self._after = 0
            self._lines.clear()
            self._look()

    def _look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._open and not self._asking:
            self._asking = True
            level, worker = self._filter
            command = GetLogs(after=self._after, limit=MOST_LINES, level=level, worker=worker)
            self._orders.remote.send(command, partial(self._arrived, self._filter), self._failed)

    def _arrived(self, asked: _Filter, answer: AnyAnswer) -> None:
        self._asking = False
        if asked != self._filter:
            self._look()
            return
        self._show_note("")
        if isinstance(answer, Logs) and answer.lines:
            self._lines.extend(answer.lines)
            self._after = answer.lines[-1].number
        self._draw_lines()
        self._look_again()

    def _failed(self, error: Exception) -> None:
        self._asking = False
        if isinstance(error, ClusterClosedError):
            self._show_note(hint("The cluster has ended; nothing is added to this log."))
            self._draw_lines()
        else:
            text = f"The log cannot be read: {describe(error)}"
            self._show_note(notice("error", text, "nbcluster-error"))
            self._look_again()

    def _look_again(self) -> None:
        if self._open and self.follow.value and not self._ended:
            self._timer = self._orders.remote.later(INTERVAL, self._look)

    def _show_note(self, html: str) -> None:
        self._note.value = html
        self._note.layout.display = None if html else "none"

    def _draw_lines(self) -> None:
        wanted = self.search.value.strip().lower()
        found = [line for line in self._lines if wanted in line.text.lower()]
        shown = found[-MOST_ROWS:]
        selective = wanted or any(choice is not None for choice in self._filter)
        none = "No line is like this." if selective else "Nothing was logged yet."
        self._box.value = log_lines(shown, len(found) - len(shown), none)
