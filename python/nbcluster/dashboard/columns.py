"""The shapes in which the source hands columns to the plots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Columns = dict[str, list[Any]]
"""Equally long lists by name: what a ``ColumnDataSource`` takes."""

FAILED = -1
"""The colour of failures, among the numbers of colours."""
GROUND = -2
"""The colour of what is behind."""


@dataclass(frozen=True)
class Bars:
    """A bar chart: rows are numbered from 0, the topmost."""

    columns: Columns
    labels: list[str]
    """The name of each row."""
    caption: str
    """One line of plain text for the panel's head."""
    texts: list[str] = field(default_factory=list)
    """What is written beside each row, where a plot has room for it."""
    upper: float = 1.0
    """The largest value shown."""

    @property
    def empty(self) -> bool:
        """True if there is nothing to show."""
        return not self.labels


@dataclass(frozen=True)
class StreamUpdate:
    """What changed in the task stream since ``cursor`` was handed out."""

    columns: Columns
    """Rectangles: the new ones, or all of them if ``replace``."""
    replace: bool
    cursor: tuple[int, int]
    rows: list[str] = field(default_factory=list)
    """The name of each row, topmost first; empty for a row that goes on naming the one above."""
    span: tuple[float, float] = (0.0, 1.0)
    """The stretch of time to show, in milliseconds as a datetime axis counts them."""
    caption: str = ""
    limit: int = 0
    """How many rectangles to keep."""

    @property
    def empty(self) -> bool:
        """True if no task ran yet."""
        return self.cursor[1] == 0
