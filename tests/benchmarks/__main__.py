"""``make bench``: nbcluster beside its peers, in one run on one machine.

Machines are noisy: compare the ratios, not the seconds.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from tests.benchmarks import record
from tests.benchmarks.figures import Figure, missed, report
from tests.benchmarks.measures import MEASURES
from tests.benchmarks.systems import all_systems
from tests.benchmarks.table import terminal_table


def main() -> int:
    """Measure, print a table, and write down what was asked for."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="MEASURE", help=f"measure only these of {', '.join(MEASURES)}")
    parser.add_argument("--systems", help="only systems whose name contains one of these, by commas")
    parser.add_argument("--json", type=Path, help="also write the figures here, after each measure")
    parser.add_argument("--record", action="store_true", help="renew docs/performance.json, its table and its plot")
    parser.add_argument("--render", type=Path, metavar="JSON", help="measure nothing: renew table and plot from this")
    options = parser.parse_args()
    if unknown := [name for name in options.only if name not in MEASURES]:
        parser.error(f"there is no measure {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    if options.record and (options.only or options.systems):
        parser.error("--record takes a whole run: leave out the names of measures, and --systems")
    if options.render:
        record.write(record.load(options.render))
        return 0
    systems = all_systems()
    if options.systems:
        systems = [s for s in systems if any(part in s.name for part in options.systems.split(","))]
    if not systems:
        parser.error(f"--systems={options.systems} leaves none of {', '.join(s.name for s in all_systems())}")
    figures: list[Figure] = []
    failed: list[str] = []
    for name in options.only or MEASURES:
        print(f"measuring {name} …", end="", file=sys.stderr, flush=True)
        start = time.perf_counter()
        try:
            figures += MEASURES[name](systems)
        except Exception:
            traceback.print_exc()
            failed.append(name)
        print(f" {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        run = record.Run.of(report(figures))
        if options.json:
            record.save(run, options.json)
    before = record.load(record.RECORDED).rows if record.RECORDED.exists() else {}
    print(run.machine_line())
    print(terminal_table(run.rows, before))
    for row, system in missed(run.rows):
        print(f"missed: {row}, {system}")
    if failed:
        print(f"failed: {', '.join(failed)}; see the tracebacks above")
    if options.record and not failed:
        record.write(run)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
