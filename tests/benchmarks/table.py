"""A report as text for terminals and as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.figures import OURS, PEERS, Bar, Kind, Report, Row, advantage, change, verdict

MET = {True: " ✓", False: " ✗", None: ""}


def terminal_table(rows: Report, before: Report | None = None) -> str:
    """One row per figure; with ``before``, by how much ours are better (+) or worse than then."""
    cells = table(rows, before)
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def markdown_table(rows: Report) -> str:
    """For the page in the documentation."""
    head, *body = table(rows)
    lines = [head, ["---", *["---:" for _ in head[1:]]], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table(rows: Report, before: Report | None = None) -> list[list[str]]:
    """Its cells. A peer's cell says how many times better our first system with a figure is."""
    systems = [name for name in (*OURS, *PEERS) if any(name in row.values for row in rows.values())]
    head = ["figure", *systems, "bar", *(["since last"] if before is not None else [])]
    return [head, *(_line(rows, row, systems, before) for row in rows.values())]


def _line(rows: Report, row: Row, systems: Sequence[str], before: Report | None) -> list[str]:
    mine = next((row.values[name] for name in OURS if row.values.get(name)), None)
    cells = [f"{row.kind.name} [{row.kind.unit}]"]
    for system in systems:
        if system not in row.values:
            cells.append("-")
        elif system in OURS:
            cells.append(number(row.values[system]) + MET[verdict(rows, row, system)])
        else:
            ratio = advantage(row.kind, mine, row.values[system])
            cells.append(number(row.values[system]) + (f" ({number(ratio)}x)" if ratio else ""))
    cells.append(", ".join(bar_text(row.kind, bar) for bar in row.kind.bars) or "-")
    if before is not None:
        changes = [change(rows, before, row.kind.name, system) for system in OURS if system in row.values]
        cells.append(" / ".join("new" if gain is None else f"{gain:+.0%}" for gain in changes) or "-")
    return cells


def number(value: float) -> str:
    """Three digits that count."""
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.01 or not value else f"{value:.2g}"


def bar_text(kind: Kind, bar: Bar) -> str:
    """Such as ``≥ 60x distributed``, ``≤ 1/12 distributed`` or ``≤ 1.04``."""
    sign = "≥" if kind.better == "more" else "≤"
    if not bar.of:
        text = f"{sign} {number(bar.limit)}"
    elif bar.limit < 1:
        text = f"{sign} 1/{number(1 / bar.limit)} {bar.of}"
    else:
        text = f"{sign} {number(bar.limit)}x {bar.of}"
    return f"{text} ({bar.only})" if bar.only else text
