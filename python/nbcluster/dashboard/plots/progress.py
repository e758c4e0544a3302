"""Progress: how far the tasks of each function are."""

from __future__ import annotations

from typing import Any

from bokeh.models import ColumnDataSource

from nbcluster.dashboard.plots.base import Plot, add_tooltip, hue_colour, set_data, text_style
from nbcluster.dashboard.source import Source
from nbcluster.dashboard.theme import Theme

PARTS = ("y", "left", "right", "hue", "hatch", "alpha", "task", "state", "took")
LEAST_ROWS = 5
TEXT_AT = -0.18
BAR_AT = 0.24
"""Above and below the middle of a row."""


class Progress(Plot):
    """A name, a count and a bar for each function, in the colours of the task stream."""

    slug = "progress"
    title = "Progress"
    empty = "No tasks yet. Their progress will appear here, a bar for each function."
    legend = (
        ("solid", "in memory"),
        ("soft", "released"),
        ("faint", "processing"),
        ("track", "waiting"),
        ("failed", "failed"),
    )

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.figure.axis.visible = False
        self.figure.grid.visible = False
        self._names = ColumnDataSource({"text_y": [], "bar_y": [], "name": [], "count": []})
        self._parts = ColumnDataSource({name: [] for name in PARTS})
        self.figure.hbar(y="bar_y", left=0, right=1, height=0.34, color=theme.track, source=self._names)
        parts = self.figure.hbar(
            y="y",
            left="left",
            right="right",
            height=0.34,
            fill_color=hue_colour(theme),
            fill_alpha="alpha",
            line_color=None,
            hatch_pattern="hatch",
            hatch_color=theme.panel,
            hatch_scale=6,
            source=self._parts,
        )
        written: dict[str, Any] = {"y": "text_y", "text_baseline": "middle", "source": self._names}
        self.figure.text(x=0, text="name", **written, **text_style(theme))
        counts = text_style(theme, text_color=theme.muted, text_align="right")
        self.figure.text(x=1, text="count", **written, **counts)
        add_tooltip(self.figure, parts, ("function", "@task"), ("tasks", "@state"), ("time", "@took"))

    def update(self, source: Source) -> None:
        """Show the present rounds."""
        bars = source.progress()
        rows = range(len(bars.labels))
        set_data(self._parts, {**bars.columns, "y": [y + BAR_AT for y in bars.columns["y"]]})
        set_data(
            self._names,
            {
                "text_y": [y + TEXT_AT for y in rows],
                "bar_y": [y + BAR_AT for y in rows],
                "name": bars.labels,
                "count": bars.texts,
            },
        )
        self.name_rows(bars.labels, least=LEAST_ROWS)
        self.tell_page(bars.empty, bars.caption, source.summary())
