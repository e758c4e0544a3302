"""What all plots share: a figure in the page's colours, rows with names, tooltips that only ever hold plain text.

A figure has a note for the page around it in its ``tags``: whether it is empty (the page then says what will appear),
the caption that stands beside its title, and the cluster's state in one line.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from bokeh.core.properties import value
from bokeh.core.property.vectorization import Field
from bokeh.models import Axis, ColumnDataSource, FixedTicker, HoverTool, Range1d
from bokeh.models.renderers import DataRenderer
from bokeh.plotting import figure
from bokeh.transform import linear_cmap

from nbcluster.dashboard.columns import GROUND, Columns
from nbcluster.dashboard.source import Source
from nbcluster.dashboard.theme import FONT, Theme

MOST_LABELS = 24
"""More rows than this are named only here and there."""


class Plot(ABC):
    """One plot on one open page."""

    slug: ClassVar[str]
    """Names it in paths: ``/individual-<slug>``."""
    title: ClassVar[str]
    empty: ClassVar[str]
    """What the page says while there is nothing to show."""
    legend: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of CSS class and meaning."""

    def __init__(self, theme: Theme, **options: Any) -> None:
        self.values = Range1d(start=0, end=1)
        """The stretch of the value axis, or of time, that is shown."""
        self.lanes = Range1d(start=0.5, end=-0.5)
        """The rows that are shown: downwards from 0."""
        self.figure = new_figure(theme, name=self.slug, x_range=self.values, y_range=self.lanes, **options)
        self._rows: tuple[tuple[str, ...], int] | None = None

    @abstractmethod
    def update(self, source: Source) -> None:
        """Show what the source has now."""

    def tell_page(self, empty: bool, caption: str, summary: str) -> None:
        """Leave the page its note."""
        note = {"empty": empty, "caption": caption, "summary": summary}
        if self.figure.tags != [note]:
            self.figure.tags = [note]

    def name_rows(self, labels: Sequence[str], least: int = 1) -> None:
        """Name the rows, the first one topmost; leave room for at least so many."""
        if self._rows == (rows := (tuple(labels), least)):
            return
        self._rows = rows
        self.lanes.update(start=max(len(labels), least) - 0.5, end=-0.5)
        step = -(-len(labels) // MOST_LABELS) or 1
        named = {y: label for y, label in enumerate(labels) if label and y % step == 0}
        update_axes(self.figure.yaxis, ticker=FixedTicker(ticks=list(named)), major_label_overrides=named)

    def show_values(self, start: float, end: float) -> None:
        """Show this stretch of the value axis."""
        if (self.values.start, self.values.end) != (start, end):
            self.values.update(start=start, end=end)


def new_figure(theme: Theme, *, tools: str = "", **options: Any) -> figure:
    """A figure in these colours that fills its place, with nothing on it that a reader does not need."""
    plot = figure(
        tools=tools,
        toolbar_location=None,
        sizing_mode="stretch_both",
        min_border=4,
        outline_line_color=None,
        background_fill_color=theme.panel,
        border_fill_color=theme.panel,
        **options,
    )
    plot.grid.grid_line_color = theme.grid
    plot.ygrid.grid_line_color = None
    update_axes(
        plot.axis,
        axis_line_color=None,
        major_tick_line_color=None,
        minor_tick_line_color=None,
        major_label_text_color=theme.muted,
        major_label_text_font=FONT,
        major_label_text_font_size="11px",
    )
    return plot


def update_axes(axes: Iterable[Axis], **properties: Any) -> None:
    """Set properties of a figure's axes."""
    for axis in axes:
        axis.update(**properties)


def place_toolbar(plot: figure) -> None:
    """Show the few tools there are, and only while the pointer is over the plot; the page lifts them to the title."""
    plot.toolbar_location = "above"
    plot.toolbar.update(logo=None, autohide=True)


def hue_colour(theme: Theme, column: str = "hue") -> Field:
    """Turns a column of numbers of colours into this theme's colours."""
    return linear_cmap(column, theme.palette, low=GROUND - 0.5, high=len(theme.hues) - 0.5)


def text_style(theme: Theme, **options: Any) -> dict[str, Any]:
    """How text inside a figure looks."""
    return {"text_color": theme.text, "text_font": value(FONT), "text_font_size": "12px", **options}


def label_bars(plot: figure, theme: Theme, bars: ColumnDataSource, end: str) -> None:
    """Write the ``text`` of each bar behind it, where its column ``end`` says."""
    style = text_style(theme, text_font_size="11px")
    plot.text(x=end, y="y", text="text", x_offset=6, text_baseline="middle", source=bars, **style)


def set_data(source: ColumnDataSource, columns: Columns) -> None:
    """Show these columns; when they are the same, send nothing."""
    if source.data != columns:
        source.data = columns


def add_tooltip(plot: figure, renderer: DataRenderer, *rows: tuple[str, str]) -> None:
    """Show these rows beside the pointer.

    They are pairs of label and column, never an HTML template: BokehJS puts such values into the page as text.
    """
    plot.add_tools(HoverTool(renderers=[renderer], tooltips=list(rows), show_arrow=False, visible=False))
