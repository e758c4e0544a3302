"""``make bench``: nbcluster beside its peers, in one run on one machine.

Machines are noisy: compare the ratios, not the seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path

from tests.benchmarks import measures
from tests.benchmarks.measures import Figure
from tests.benchmarks.systems import all_systems

MEASURES = {
    "throughput": measures.throughput,
    "round_trips": measures.round_trips,
    "start": measures.start_and_stop,
    "imports": measures.imports,
    "growth": measures.growth,
}


def main() -> int:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("only", nargs="*", help="measure only these")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--systems", help="only systems whose name contains one of these, by commas")
    options = parser.parse_args()
    figures: list[Figure] = []
    for name in options.only or MEASURES:
        systems = all_systems()
        if options.systems:
            systems = [s for s in systems if any(part in s.name for part in options.systems.split(","))]
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        figures += MEASURES[name](systems)
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps([figure._asdict() for figure in figures], indent=1) + "\n")
    return 0


def table(figures: list[Figure]) -> str:
    """One row per measure, one column per system, with how many times better the first column is."""
    names = list(dict.fromkeys(figure.system for figure in figures))
    rows = [["", *names]]
    for measure in dict.fromkeys(figure.measure for figure in figures):
        mine = [figure for figure in figures if figure.measure == measure]
        by_name = {figure.system: figure for figure in mine}
        first = by_name.get(names[0])
        rows.append([f"{measure} [{mine[0].unit}]", *(_cell(by_name.get(name), first) for name in names)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _cell(figure: Figure | None, first: Figure | None) -> str:
    if figure is None:
        return "-"
    value = f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:.3g}"
    if first is None or figure is first or not figure.value or not first.value:
        return value
    ratio = first.value / figure.value if figure.better == "more" else figure.value / first.value
    return f"{value} ({ratio:.2g}x)"


if __name__ == "__main__":
    sys.exit(main())
