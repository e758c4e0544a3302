"""A profile: call trees as rows of bars, callers above what they called, as wide as the time they took."""

from __future__ import annotations

from typing import Any

from bokeh.models import ColumnDataSource, FixedTicker
from bokeh.plotting import figure

from nbcluster.dashboard.plots.base import add_tooltip, new_figure, place_toolbar, text_style, update_axes
from nbcluster.dashboard.text import display, format_duration
from nbcluster.dashboard.theme import Theme
from nbcluster.protocol.profiles import Profile

LEAST = 0.002
"""Share of the whole below which a call is not drawn."""
SAMPLE = 0.01
"""Seconds that one sample stands for."""
MOST_ROWS = 60
LEAST_ROWS = 3
_LETTER = 0.0075
"""Share of the width that a letter takes, about."""


def profile_figure(profile: Profile, theme: Theme) -> figure:
    """A figure of a profile. Colours tell functions apart; hovering tells the rest."""
    columns, depth = profile_columns(profile, len(theme.hues))
    plot = new_figure(
        theme,
        name="profile",
        x_range=(0, 1),
        y_range=(max(depth, LEAST_ROWS) - 0.5, -0.5),
        tools="xpan,xwheel_zoom,reset",
    )
    source = ColumnDataSource({**columns, "colour": [theme.hues[hue] for hue in columns["hue"]]})
    bars = plot.hbar(
        y="y",
        left="left",
        right="right",
        height=0.92,
        fill_color="colour",
        fill_alpha=0.55,
        line_color=theme.panel,
        line_width=1,
        source=source,
    )
    plot.text(
        x="left",
        y="y",
        text="text",
        x_offset=4,
        text_baseline="middle",
        source=source,
        **text_style(theme, text_font_size="11px"),
    )
    add_tooltip(plot, bars, ("function", "@function"), ("time", "@took"), ("share", "@share"), ("file", "@file"))
    place_toolbar(plot)
    plot.xgrid.grid_line_color = None
    update_axes(plot.xaxis, visible=False)
    update_axes(plot.yaxis, ticker=FixedTicker(ticks=[]))
    return plot


def profile_columns(profile: Profile, hues: int) -> tuple[dict[str, list[Any]], int]:
    """The bars, and how many rows of them there are."""
    names = ("y", "left", "right", "hue", "text", "function", "took", "share", "file")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    total = profile.counts[0]
    if not total:
        return columns, 0
    children: list[list[int]] = [[] for _ in profile.counts]
    for node in range(1, len(profile.counts)):
        children[profile.parents[node]].append(node)
    functions: dict[tuple[str, str], int] = {}
    deepest = 0
    stack = [(0, 0, 0.0)]
    while stack:
        node, depth, left = stack.pop()
        for child in sorted(children[node], key=lambda one: -profile.counts[one]):
            width = profile.counts[child] / total
            if width >= LEAST and depth < MOST_ROWS:
                name, file, line = profile.table[profile.frames[child]]
                columns["y"].append(depth)
                columns["left"].append(left)
                columns["right"].append(left + width)
                columns["hue"].append(functions.setdefault((file, name), len(functions)) % hues)
                columns["text"].append(_fitting(name, width))
                columns["function"].append(display(name))
                columns["took"].append(format_duration(profile.counts[child] * SAMPLE))
                columns["share"].append(f"{100 * width:.1f} %")
                columns["file"].append(display(f"{file}:{line}", limit=200))
                deepest = max(deepest, depth + 1)
                stack.append((child, depth + 1, left))
            left += width
    return columns, deepest


def _fitting(name: str, width: float) -> str:
    """As much of a name as its bar has room for."""
    room = int(width / _LETTER) - 1
    if len(name) <= room:
        return display(name)
    return display(name[: room - 1] + "…") if room > 3 else ""
