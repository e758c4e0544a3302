"""Tasks processing per worker: those that run, and those that wait in the worker's own queue."""

from __future__ import annotations

from typing import Any

from bokeh.models import BasicTicker, ColumnDataSource, NumeralTickFormatter

from nbcluster.dashboard.plots.base import Plot, add_tooltip, label_bars, set_data, update_axes
from nbcluster.dashboard.source import Source
from nbcluster.dashboard.theme import Theme

COLUMNS = ("y", "executing", "processing", "waiting", "worker", "done", "text")
LEAST_ROWS = 4
LEAST_TASKS = 4.0


class Processing(Plot):
    """A bar for each worker."""

    slug = "nprocessing"
    title = "Tasks processing per worker"
    empty = "No workers yet. Their tasks will appear here."
    legend = (("accent", "running"), ("accent-soft", "next on this worker"))

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self._bars = ColumnDataSource({name: [] for name in COLUMNS})
        common: dict[str, Any] = {"y": "y", "height": 0.66, "line_color": None, "source": self._bars}
        tasks = self.figure.hbar(left=0, right="processing", fill_color=theme.accent_soft, **common)
        self.figure.hbar(left=0, right="executing", fill_color=theme.accent, **common)
        label_bars(self.figure, theme, self._bars, "processing")
        rows = ("worker", "@worker"), ("running", "@executing"), ("next", "@waiting"), ("done", "@done")
        add_tooltip(self.figure, tasks, *rows)
        update_axes(
            self.figure.xaxis,
            ticker=BasicTicker(min_interval=1, desired_num_ticks=5, num_minor_ticks=0),
            formatter=NumeralTickFormatter(format="0,0"),
        )

    def update(self, source: Source) -> None:
        """Show the workers that there are."""
        bars = source.processing()
        set_data(self._bars, {**bars.columns, "text": bars.texts})
        self.show_values(0.0, max(bars.upper * 1.12, LEAST_TASKS))
        self.name_rows(bars.labels, least=LEAST_ROWS)
        self.tell_page(bars.empty, bars.caption, source.summary())
