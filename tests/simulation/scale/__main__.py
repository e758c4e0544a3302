"""``make simulate``: clusters of 10 to 10,000 workers, simulated; writes docs/scaling.md and docs/images/scaling.svg.

The same options give the same figures, but for processor time.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from pathlib import Path

from tests.simulation.scale.cluster import Scenario
from tests.simulation.scale.plot import plot
from tests.simulation.scale.report import long_run, replaced, tables
from tests.simulation.scale.results import Result, measure
from tests.simulation.scale.workloads import WORKLOADS

DOCS = Path(__file__).parents[3] / "docs"
SIZES = (10, 100, 1000, 10_000)


def main() -> int:
    """Simulate, print the tables, and write the page if it was the standard simulation."""
    parser = argparse.ArgumentParser(prog="make simulate ARGS=…", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="workload", help=f"only these of: {', '.join(WORKLOADS)}")
    parser.add_argument("--workers", type=_sizes, default=SIZES, help="by commas (default: 10,100,1000,10000)")
    parser.add_argument("--tasks-per-thread", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1, help="per worker")
    parser.add_argument("--shortest", type=float, default=0.01, help="seconds that no task takes less of")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="up to 1,000 workers; prints only; a minute or two")
    parser.add_argument("--long", action="store_true", help="instead: ten million tasks, on the most workers only")
    parser.add_argument("--save", type=Path, help="keep the results here, as JSON, and do not repeat what is there")
    options = parser.parse_args()
    unknown = set(options.only) - set(WORKLOADS)
    if unknown:
        parser.error(f"unknown workloads: {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    gc.disable()  # last references end everything here; a collector would look at ten thousand workers in vain
    if options.long:
        scenarios = [Scenario("map", max(options.workers), 10_000_000, window=4, seed=options.seed)]
    else:
        scenarios = [
            Scenario(
                name,
                workers,
                options.tasks_per_thread * workers * options.threads,
                options.threads,
                options.shortest,
                seed=options.seed,
            )
            for name in options.only or WORKLOADS
            for workers in options.workers
            if workers <= 1000 or not options.quick
        ]
    results = _measured(scenarios, options.save)
    page = DOCS / "scaling.md"
    if options.long:
        print(text := long_run(results[0]))
        page.write_text(replaced(page.read_text(), "long run", text))
        return 0
    print(text := tables(results))
    if scenarios == [Scenario(name, workers, 40 * workers) for name in WORKLOADS for workers in SIZES]:
        page.write_text(replaced(page.read_text(), "tables", text))
        (DOCS / "images" / "scaling.svg").write_text(plot(results))
        _say(f"written to {page}")
    return 0


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(int(part) for part in text.split(","))
    if any(size < 1 for size in sizes):
        raise ValueError(text)
    return sizes


def _measured(scenarios: list[Scenario], kept: Path | None) -> list[Result]:
    results = []
    if kept is not None and kept.exists():
        results = [Result(*row) for row in json.loads(kept.read_text())]
    known = {(result.workload, result.workers) for result in results}
    for scenario in scenarios:
        if (scenario.workload, scenario.workers) in known:
            continue
        _say(f"{scenario.workload}: {scenario.workers:,} workers, {scenario.tasks:,} tasks …")
        result = measure(scenario)
        _say(
            f"  {result.work_per_task:.2f} events and candidates per task, idle {result.idle:.2%}, "
            f"over the ideal {result.over:.1%}, {result.wall:.0f} s"
        )
        results.append(result)
        gc.collect()
        if kept is not None:
            kept.write_text(json.dumps(results) + "\n")
    return results


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
