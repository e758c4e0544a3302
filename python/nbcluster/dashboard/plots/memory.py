"""Bytes per worker: the results it holds, the rest of its process, its limit."""

from __future__ import annotations

from typing import Any

from bokeh.models import ColumnDataSource, FixedTicker
from bokeh.transform import linear_cmap

from nbcluster.dashboard.plots.base import Plot, add_tooltip, label_bars, set_data, update_axes
from nbcluster.dashboard.source import Source
from nbcluster.dashboard.text import byte_ticks
from nbcluster.dashboard.theme import Theme

COLUMNS = ("y", "stored", "memory", "limit", "near", "worker", "of", "results", "text", "top", "bottom")
LEAST_ROWS = 4
BAR = 0.66
MARK = 0.9
"""Heights, in rows."""


class Memory(Plot):
    """A bar for each worker, and a mark at its limit; a bar near its limit changes colour."""

    slug = "workers-memory"
    title = "Bytes per worker"
    empty = "No workers yet. Their memory will appear here."
    legend = (("accent", "results"), ("accent-soft", "rest of the process"), ("mark", "limit"))

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self._ticks: dict[float, str] = {}
        self._bars = ColumnDataSource({name: [] for name in COLUMNS})
        rest = linear_cmap("near", [theme.accent_soft, theme.warning], low=-0.5, high=1.5)
        common: dict[str, Any] = {"y": "y", "height": BAR, "line_color": None, "source": self._bars}
        process = self.figure.hbar(left=0, right="memory", fill_color=rest, **common)
        self.figure.hbar(left=0, right="stored", fill_color=theme.accent, **common)
        mark: dict[str, Any] = {"x0": "limit", "x1": "limit", "y0": "top", "y1": "bottom"}
        self.figure.segment(**mark, line_color=theme.text, line_width=2, source=self._bars)
        label_bars(self.figure, theme, self._bars, "memory")
        add_tooltip(self.figure, process, ("worker", "@worker"), ("memory", "@of"), ("results", "@results"))

    def update(self, source: Source) -> None:
        """Show the workers that there are."""
        bars = source.memory()
        rows = range(len(bars.labels))
        mark = {"top": [y - MARK / 2 for y in rows], "bottom": [y + MARK / 2 for y in rows]}
        set_data(self._bars, {**bars.columns, **mark, "text": bars.texts})
        end = (bars.upper or 1.0) * 1.18
        self.show_values(0.0, end)
        ticks = byte_ticks(end)
        if ticks != self._ticks:
            self._ticks = ticks
            update_axes(self.figure.xaxis, ticker=FixedTicker(ticks=list(ticks)), major_label_overrides=ticks)
        self.name_rows(bars.labels, least=LEAST_ROWS)
        self.tell_page(bars.empty, bars.caption, source.summary())
