"""The task stream: which thread ran what, and when."""

from __future__ import annotations

from bokeh.events import Event, RangesUpdate, Reset
from bokeh.models import ColumnDataSource, DatetimeTickFormatter

from nbcluster.dashboard.plots.base import Plot, add_tooltip, hue_colour, place_toolbar, update_axes
from nbcluster.dashboard.source import Source
from nbcluster.dashboard.theme import Theme

COLUMNS = ("y", "left", "right", "hue", "edge", "shade", "cross", "task", "took", "worker", "result")
SHORTEST = 100.0
"""The least stretch of time shown, in milliseconds."""


class TaskStream(Plot):
    """Rectangles in time that follow the work, until somebody pans or zooms; a reset follows again.

    Args:
        theme: its colours.
        live: False in a file, where nobody is told of what happens in the browser.
    """

    slug = "task-stream"
    title = "Task stream"
    empty = "No tasks yet. They will appear here as they run, a row for each worker thread."

    def __init__(self, theme: Theme, live: bool = True) -> None:
        super().__init__(theme, x_axis_type="datetime", tools="xpan,xwheel_zoom,reset")
        self._cursor: tuple[int, int] | None = None
        self._span = (0.0, 1.0)
        self._follows = True
        self._runs = ColumnDataSource({name: [] for name in COLUMNS})
        runs = self.figure.hbar(
            y="y",
            left="left",
            right="right",
            height=0.84,
            fill_color=hue_colour(theme),
            line_color=hue_colour(theme, "edge"),
            line_width=0.75,
            alpha="shade",
            source=self._runs,
        )
        # A cross on what failed. (A hatch would do, but BokehJS takes a millisecond for each hatched rectangle.)
        self.figure.scatter(
            x="cross", y="y", marker="x", size=7, line_color=theme.panel, line_width=1.5, source=self._runs
        )
        rows = ("task", "@task"), ("took", "@took"), ("worker", "@worker"), ("result", "@result")
        add_tooltip(self.figure, runs, *rows)
        place_toolbar(self.figure)
        update_axes(self.figure.xaxis, formatter=_clock_ticks())
        if live:
            self.figure.on_event(RangesUpdate, self._moved)
            self.figure.on_event(Reset, self._reset)

    def update(self, source: Source) -> None:
        """Add what is new, and follow it."""
        news = source.task_stream(self._cursor)
        self._cursor = news.cursor
        if news.replace:
            self._runs.data = news.columns
        elif news.columns["y"]:
            self._runs.stream({**news.columns}, rollover=news.limit)
        self.name_rows(news.rows)
        self.tell_page(news.empty, news.caption, source.summary())
        if self._span != news.span:
            self._span = news.span
            if self._follows:
                self._show_all()

    def _show_all(self) -> None:
        start, end = self._span
        end = max(end, start + SHORTEST)
        margin = (end - start) * 0.01
        start, end = start - margin, end + margin
        self.values.update(start=start, end=end, reset_start=start, reset_end=end)

    def _moved(self, event: Event) -> None:
        """Somebody looks closer at something: leave them alone."""
        self._follows = False

    def _reset(self, event: Event) -> None:
        self._follows = True
        self._show_all()


def _clock_ticks() -> DatetimeTickFormatter:
    """The time of day, as finely as the ticks are apart."""
    seconds = "%H:%M:%S"
    return DatetimeTickFormatter(
        microseconds="%H:%M:%S.%f",
        milliseconds="%H:%M:%S.%3N",
        seconds=seconds,
        minsec=seconds,
        minutes="%H:%M",
        hourmin="%H:%M",
        hours="%H:%M",
    )
