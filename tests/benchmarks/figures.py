"""What is measured: kinds of figures, their bars, and the rows of a report. Pure: nothing is run here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

OURS = ("LocalCluster", "SubprocessCluster")
PEERS = ("distributed", "loky", "ProcessPool")


@dataclass(frozen=True)
class Bar:
    """What a figure of ours has to reach: ``limit`` itself or, with ``of``, ``limit`` times that peer's figure.

    A figure of which less is better has to stay at or below it, the others at or above.
    """

    limit: float
    of: str = ""
    row: str = ""
    """The peer's figure is the one in this row, if it has none in the same."""
    only: str = ""
    """It holds for this one of our systems only."""


@dataclass(frozen=True)
class Kind:
    """A kind of figure: a row of the table."""

    name: str
    unit: str
    better: Literal["more", "less"]
    bars: tuple[Bar, ...] = ()


class Figure(NamedTuple):
    """One value, measured on one system."""

    kind: Kind
    system: str
    value: float


@dataclass(frozen=True)
class Row:
    """One kind of figure on all systems."""

    kind: Kind
    values: Mapping[str, float] = field(default_factory=dict)


Report = dict[str, Row]
"""Rows by name, in the order in which they were measured."""


def report(figures: Iterable[Figure]) -> Report:
    """Put the figures of each kind together."""
    kinds: dict[str, Kind] = {}
    values: dict[str, dict[str, float]] = {}
    for figure in figures:
        kinds.setdefault(figure.kind.name, figure.kind)
        values.setdefault(figure.kind.name, {})[figure.system] = figure.value
    return {name: Row(kind, values[name]) for name, kind in kinds.items()}


def advantage(kind: Kind, mine: float | None, other: float | None) -> float | None:
    """How many times better ``mine`` is than ``other``; None if that cannot be said."""
    if not mine or not other or mine < 0 or other < 0:
        return None
    return mine / other if kind.better == "more" else other / mine


def of_peer(rows: Report, row: Row, bar: Bar) -> float | None:
    """The figure of the peer that a bar is about."""
    value = row.values.get(bar.of)
    if value is None and bar.row in rows:
        value = rows[bar.row].values.get(bar.of)
    return value


def is_met(rows: Report, row: Row, bar: Bar, system: str) -> bool | None:
    """Whether one of our systems reaches a bar; None if it is not about it, or if either figure is missing."""
    value = row.values.get(system)
    if value is None or (bar.only and bar.only != system):
        return None
    limit: float | None = bar.limit
    if bar.of:
        other = of_peer(rows, row, bar)
        limit = None if other is None else other * bar.limit
    if limit is None:
        return None
    return value >= limit if row.kind.better == "more" else value <= limit


def verdict(rows: Report, row: Row, system: str) -> bool | None:
    """Whether it reaches all bars of the row about which something can be said."""
    verdicts = [met for bar in row.kind.bars if (met := is_met(rows, row, bar, system)) is not None]
    return all(verdicts) if verdicts else None


def missed(rows: Report) -> list[tuple[str, str]]:
    """Rows and systems of ours that do not reach a bar."""
    return [(name, system) for name, row in rows.items() for system in OURS if verdict(rows, row, system) is False]


def reference(rows: Report, row: Row) -> tuple[str, float] | None:
    """The peer that a row is compared with over time: the first of its bars, or the first that was measured."""
    for bar in row.kind.bars:
        if bar.of and (value := of_peer(rows, row, bar)):
            return bar.of, value
    for peer in PEERS:
        if value := row.values.get(peer):
            return peer, value
    return None


def change(rows: Report, before: Report, name: str, system: str) -> float | None:
    """By how much a figure is better than before, as a fraction; below zero it is worse.

    Compared is the ratio to a peer, where the row has one in both reports, for machines are not alike.
    """
    if name not in rows or name not in before:
        return None
    row, old = rows[name], before[name]
    kind = row.kind
    now, then = row.values.get(system), old.values.get(system)
    peers = reference(rows, row), reference(before, old)
    if peers[0] and peers[1] and peers[0][0] == peers[1][0]:
        now, then = advantage(kind, now, peers[0][1]), advantage(kind, then, peers[1][1])
        return now / then - 1 if now and then else None
    gain = advantage(kind, now, then)
    return None if gain is None else gain - 1


def to_plain(rows: Report) -> list[dict[str, Any]]:
    """For JSON."""
    return [
        {
            "figure": row.kind.name,
            "unit": row.kind.unit,
            "better": row.kind.better,
            "bars": [{k: v for k, v in vars(bar).items() if v != ""} for bar in row.kind.bars],
            "values": {system: float(f"{value:.4g}") for system, value in row.values.items()},
        }
        for row in rows.values()
    ]


def from_plain(plain: Iterable[dict[str, Any]]) -> Report:
    """The other way round."""
    rows = [
        Row(Kind(row["figure"], row["unit"], row["better"], tuple(Bar(**bar) for bar in row["bars"])), row["values"])
        for row in plain
    ]
    return {row.kind.name: row for row in rows}
