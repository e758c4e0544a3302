"""The figures as a picture: how many times better than each peer, on a logarithmic scale. Pure.

One line per figure, one dot per peer, and a tick where the bar is. It follows the colour scheme of its reader.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from tests.benchmarks.figures import OURS, PEERS, Report, Row, advantage, of_peer

LEFT_OUT = (
    "pure=False",
    "p99",
    "extra memory",
    "second reader",
    "a second time",
    "to a second client",
    "over idle",
    "its sum there",
)
"""Variants of figures that are shown, and figures of which a ratio says little."""

TOP, LINE = 112, 24
X0, X1 = 404, 674
COLUMN = 118
"""Lines begin below ``TOP``; dots lie between ``X0`` and ``X1``; each peer has a column of numbers right of that."""

STYLE = """
  :root { --ink: #1f2328; --soft: #59636e; --rule: #d8dee4; --band: #f5f7f9; --one: #818b98;
          --distributed: #1f6feb; --loky: #0f7b6c; --ProcessPool: #bc4c00; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e6edf3; --soft: #9198a1; --rule: #30363d; --band: #151b23; --one: #6e7681;
            --distributed: #58a6ff; --loky: #3fc8a9; --ProcessPool: #f0883e; }
  }
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
  .title { font-size: 17px; font-weight: 600 } .soft { fill: var(--soft); font-size: 12px }
  .right { text-anchor: end } .middle { text-anchor: middle } .number { font-variant-numeric: tabular-nums }
  .head { font-weight: 600 }
"""


class Line(NamedTuple):
    """What is drawn for one figure: per peer how many times better ours is, and how many times it should be."""

    name: str
    ratios: dict[str, float]
    goals: dict[str, float]


def lines(rows: Report) -> list[Line]:
    """The figures of our first system that can be held against a peer's."""
    found = []
    for row in rows.values():
        if not any(part in row.kind.name for part in LEFT_OUT):
            ratios = {peer: ratio for peer in PEERS if (ratio := _ratio(rows, row, peer))}
            if ratios:
                goals = {b.of: b.limit if row.kind.better == "more" else 1 / b.limit for b in row.kind.bars if b.of}
                found.append(Line(row.kind.name, ratios, goals))
    return found


def _ratio(rows: Report, row: Row, peer: str) -> float | None:
    other = row.values.get(peer)
    for bar in row.kind.bars:
        if bar.of == peer:
            other = of_peer(rows, row, bar)
    return advantage(row.kind, row.values.get(OURS[0]), other)


def plot(rows: Report) -> str:
    """An SVG document."""
    drawn = lines(rows)
    peers = [peer for peer in PEERS if any(peer in line.ratios for line in drawn)]
    every = [1.0, 10.0, *(value for line in drawn for value in (*line.ratios.values(), *line.goals.values()))]
    scale = Scale(math.floor(2 * math.log10(min(every)) - 0.1) / 2, math.ceil(2 * math.log10(max(every)) + 0.1) / 2)
    width, height = X1 + 18 + COLUMN * max(len(peers), 1), TOP + LINE * len(drawn) + 16
    parts = [*_frame(scale, peers, height)]
    for index, line in enumerate(drawn):
        parts += _line(scale, peers, line, TOP + LINE * index, width if index % 2 == 0 else 0)
    body = "\n".join(f"  {part}" for part in parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="How many times better LocalCluster does than each peer">\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def short(ratio: float) -> str:
    """Two digits."""
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2g}"


class Scale(NamedTuple):
    """From left to right, in powers of ten."""

    low: float
    high: float

    def powers(self) -> range:
        """The whole ones."""
        return range(math.ceil(self.low), math.floor(self.high) + 1)

    def x(self, ratio: float) -> float:
        """Where a ratio lies."""
        return X0 + (X1 - X0) * (math.log10(ratio) - self.low) / (self.high - self.low)


def _frame(scale: Scale, peers: list[str], height: int) -> Iterator[str]:
    yield '<text class="title" x="14" y="30">LocalCluster beside its peers</text>'
    yield (
        '<text class="soft" x="14" y="52">How many times better, two workers, logarithmic. '
        "Dots are measured, ticks are the aim.</text>"
    )
    one = scale.x(1)
    yield f'<text class="soft right" x="{one - 8:.0f}" y="78">◂ peer ahead</text>'
    yield f'<text class="soft" x="{one + 8:.0f}" y="78">nbcluster ahead ▸</text>'
    for power in scale.powers():
        x = scale.x(10.0**power)
        colour = "one" if power == 0 else "rule"
        yield f'<path d="M{x:.1f} {TOP - 8}V{height - 12}" stroke="var(--{colour})" stroke-width="1"/>'
        yield f'<text class="soft middle number" x="{x:.1f}" y="{TOP - 14}">{10.0**power:,g}x</text>'
    for index, peer in enumerate(peers):
        x = X1 + COLUMN * (index + 1)
        left = x - 8.2 * len(peer) - 12
        yield f'<circle cx="{left:.1f}" cy="{TOP - 18.5}" r="5" fill="var(--{peer})"/>'
        yield f'<text class="head right" style="fill: var(--{peer})" x="{x}" y="{TOP - 14}">{peer}</text>'


def _line(scale: Scale, peers: list[str], line: Line, top: int, band: int) -> Iterator[str]:
    middle = top + LINE / 2
    if band:
        yield f'<rect x="0" y="{top}" width="{band}" height="{LINE}" fill="var(--band)"/>'
        for power in scale.powers():
            colour = "one" if power == 0 else "rule"
            yield f'<path d="M{scale.x(10.0**power):.1f} {top}v{LINE}" stroke="var(--{colour})"/>'
    yield f'<text x="14" y="{middle + 4.5:.1f}">{escape(line.name)}</text>'
    for index, peer in enumerate(peers):
        colour = f"var(--{peer})"
        if peer in line.goals and peer in line.ratios:
            x = scale.x(line.goals[peer])
            yield f'<path d="M{x:.1f} {middle - 8:.1f}v16" stroke="{colour}" stroke-width="2" opacity="0.6"/>'
        if peer in line.ratios:
            ratio = line.ratios[peer]
            yield f'<circle cx="{scale.x(ratio):.1f}" cy="{middle:.1f}" r="5" fill="{colour}"/>'
            x = X1 + COLUMN * (index + 1)
            yield f'<text class="right number" x="{x}" y="{middle + 4.5:.1f}">{short(ratio)}x</text>'
