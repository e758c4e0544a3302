"""The tables of ``docs/scaling.md``. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.simulation.scale.results import Result
from tests.simulation.scale.workloads import WORKLOADS

TABLES: tuple[tuple[str, Callable[[Result], str]], ...] = (
    (
        "Scheduler work per task: events handled plus candidates examined",
        lambda result: f"{result.work_per_task:.2f}",
    ),
    ("Events per task", lambda result: f"{result.events_per_task:.2f}"),
    ("Idle because of placement, as a share of the work", lambda result: f"{result.idle:.2%}"),
    ("Longer than the ideal schedule", lambda result: f"{result.over:.1%}"),
    ("Processor time in the scheduler's core, µs per task", lambda result: f"{result.cpu_per_task * 1e6:.0f}"),
)


def tables(results: Iterable[Result]) -> str:
    """One table per figure: a row per workload, a column per number of workers."""
    known = {(result.workload, result.workers): result for result in results}
    sizes = sorted({workers for _, workers in known})
    names = [name for name in WORKLOADS if any(name == workload for workload, _ in known)]
    parts = []
    for title, show in TABLES:
        rows = [["Workers", *(f"{workers:,}" for workers in sizes)]]
        for name in names:
            cells = [show(known[name, workers]) if (name, workers) in known else "" for workers in sizes]
            rows.append([WORKLOADS[name].title, *cells])
        parts.append(f"**{title}**\n\n{markdown(rows)}")
    return "\n\n".join(parts)


def long_run(result: Result) -> str:
    """The table of a single run."""
    rows = [
        [WORKLOADS[result.workload].title, ""],
        ["Workers", f"{result.workers:,}"],
        ["Tasks", f"{result.tasks:,}"],
        ["Most tasks that the scheduler knew at once", f"{result.most_known:,}"],
        *([title, show(result)] for title, show in TABLES),
        ["Virtual time, s", f"{result.makespan:.1f}"],
        ["Real time of the simulation, s", f"{result.wall:.0f}"],
    ]
    return markdown(rows)


def markdown(rows: list[list[str]]) -> str:
    """A table in Markdown; the first row is its head, all columns but the first are numbers."""
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    rule = ["-" * width if index == 0 else "-" * (width - 1) + ":" for index, width in enumerate(widths)]
    lines = []
    for row in [rows[0], rule, *rows[1:]]:
        cells = (
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def replaced(text: str, name: str, part: str) -> str:
    """The text with another part between ``<!-- name: generated -->`` and ``<!-- name: end -->``.

    Raises:
        ValueError: the text has no such marks.
    """
    begin, end = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"the text has no lines {begin!r} and {end!r}, in this order")
    return f"{before}{begin}\n\n{part}\n\n{end}{after}"
