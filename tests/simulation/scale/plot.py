"""The figures as a picture: a row per workload, a column per figure, a dot per number of workers. Pure.

Flat lines are good ones. It follows the colour scheme of its reader.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from html import escape
from typing import NamedTuple

from tests.simulation.scale.results import Result
from tests.simulation.scale.workloads import WORKLOADS

LEFT, CELL, GAP, RIGHT = 186, 150, 88, 76
TOP, ROW, HEIGHT = 126, 50, 34
"""Rows begin below ``TOP``; in each, values rise by at most ``HEIGHT``."""

STYLE = """
  :root { --ink: #1f2328; --soft: #59636e; --rule: #d8dee4; --band: #f5f7f9; --limit: #bc4c00;
          --line: #1f6feb; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e6edf3; --soft: #9198a1; --rule: #30363d; --band: #151b23; --limit: #f0883e;
            --line: #58a6ff; }
  }
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
  .title { font-size: 17px; font-weight: 600 } .soft { fill: var(--soft); font-size: 12px }
  .right { text-anchor: end } .middle { text-anchor: middle } .number { font-variant-numeric: tabular-nums }
  .head { font-weight: 600 }
"""


class Column(NamedTuple):
    """One figure, from zero up to ``top``."""

    title: str
    unit: str
    value: Callable[[Result], float]
    shown: Callable[[float], str]
    top: float
    limit: float | None = None


COLUMNS = (
    Column("Scheduler work", "events + candidates per task", lambda r: r.work_per_task, lambda v: f"{v:.2f}", 12),
    Column("Idle by placement", "% of the work, dashes: 5%", lambda r: 100 * r.idle, lambda v: f"{v:.2f}%", 6, 5),
    Column("Over the ideal", "% longer, dashes: 5%", lambda r: 100 * r.over, lambda v: f"{v:.1f}%", 6, 5),
)


def plot(results: Iterable[Result]) -> str:
    """An SVG document."""
    rows: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda result: result.workers):
        rows.setdefault(result.workload, []).append(result)
    drawn = [name for name in WORKLOADS if name in rows]
    sizes = sorted({result.workers for row in rows.values() for result in row})
    width = LEFT + len(COLUMNS) * (CELL + GAP) - GAP + RIGHT
    height = TOP + ROW * len(drawn) + 40
    parts = [*_head(), *_bands(len(drawn), width)]
    for number, column in enumerate(COLUMNS):
        top = max(column.top, *(column.value(result) for row in rows.values() for result in row))
        parts += _column(column._replace(top=top), LEFT + number * (CELL + GAP), [rows[name] for name in drawn], sizes)
    for index, name in enumerate(drawn):
        y = TOP + ROW * index + ROW / 2 + 4.5
        parts.append(f'<text class="right" x="{LEFT - 24}" y="{y:.1f}">{escape(WORKLOADS[name].title)}</text>')
    body = "\n".join(f"  {part}" for part in parts)
    label = f"Scheduler work and idle time per workload, from {sizes[0]:,} to {sizes[-1]:,} workers"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{label}">\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def _head() -> Iterator[str]:
    yield '<text class="title" x="14" y="30">The same work per task, whatever the number of workers</text>'
    yield (
        '<text class="soft" x="14" y="52">Simulated clusters, tasks of 10 ms and more. '
        "The number is that of the largest cluster.</text>"
    )


def _bands(rows: int, width: int) -> Iterator[str]:
    for index in range(0, rows, 2):
        yield f'<rect x="0" y="{TOP + ROW * index}" width="{width}" height="{ROW}" fill="var(--band)"/>'


def _column(column: Column, left: int, rows: list[list[Result]], sizes: list[int]) -> Iterator[str]:
    bottom = TOP + ROW * len(rows)

    def x(workers: int) -> float:
        low, high = math.log(sizes[0]), math.log(sizes[-1])
        return left + (CELL * (math.log(workers) - low) / (high - low) if high > low else CELL / 2)

    yield f'<text class="head" x="{left - 6}" y="88">{escape(column.title)}</text>'
    yield f'<text class="soft" x="{left - 6}" y="106">{escape(column.unit)}</text>'
    for workers in sizes:
        yield f'<text class="soft middle number" x="{x(workers):.1f}" y="{bottom + 18}">{_short(workers)}</text>'
    yield f'<text class="soft middle" x="{left + CELL / 2:.1f}" y="{bottom + 34}">workers</text>'
    for index, row in enumerate(rows):
        zero = TOP + ROW * (index + 1) - (ROW - HEIGHT) / 2
        yield from _cell(column, left, zero, row, x)


def _cell(column: Column, left: int, zero: float, row: list[Result], x: Callable[[int], float]) -> Iterator[str]:
    def y(value: float) -> float:
        return zero - HEIGHT * max(value, 0.0) / column.top

    yield f'<path d="M{left - 6} {zero:.1f}h{CELL + 12}" stroke="var(--rule)"/>'
    if column.limit is not None:
        level = y(column.limit)
        yield (
            f'<path d="M{left - 6} {level:.1f}h{CELL + 12}" stroke="var(--limit)" stroke-dasharray="2 3" '
            'opacity="0.75"/>'
        )
    points = [(x(result.workers), y(column.value(result))) for result in row]
    way = "L".join(f"{across:.1f} {up:.1f}" for across, up in points)
    yield f'<path d="M{way}" fill="none" stroke="var(--line)" stroke-width="2"/>'
    for across, up in points:
        yield f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3.5" fill="var(--line)"/>'
    last = column.shown(column.value(row[-1])).replace("-", "\N{MINUS SIGN}")
    yield f'<text class="right number" x="{left + CELL + 58}" y="{zero - HEIGHT / 2 + 4.5:.1f}">{last}</text>'


def _short(workers: int) -> str:
    return f"{workers // 1000}k" if workers >= 1000 and workers % 1000 == 0 else str(workers)
