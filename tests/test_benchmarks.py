from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks import record
from tests.benchmarks.figures import Bar, Figure, Kind, Report, change, missed, report
from tests.benchmarks.measures import MEASURES, data, latency, life, remote, throughput, upkeep, way
from tests.benchmarks.plot import lines, plot
from tests.benchmarks.record import Run
from tests.benchmarks.systems import ClusterSystem, System
from tests.benchmarks.table import bar_text, markdown_table, terminal_table

RATE = Kind("tasks", "tasks/s", "more", (Bar(3, "ProcessPool"),))
TRIP = Kind("trip", "us", "less", (Bar(1 / 4, "distributed"), Bar(100)))


def made_up(rate: float = 40_000, trip: float = 90, pool: float = 10_000) -> Report:
    return report(
        [
            Figure(RATE, "LocalCluster", rate),
            Figure(RATE, "SubprocessCluster", 20_000),
            Figure(RATE, "ProcessPool", pool),
            Figure(TRIP, "LocalCluster", trip),
            Figure(TRIP, "distributed", 900),
        ]
    )


def test_a_bar_is_met_by_a_ratio_to_a_peer_or_by_the_value_itself() -> None:
    assert missed(made_up()) == [("tasks", "SubprocessCluster")]
    assert missed(made_up(trip=100)) == [("tasks", "SubprocessCluster")]
    assert missed(made_up(trip=101)) == [("tasks", "SubprocessCluster"), ("trip", "LocalCluster")]


def test_a_bar_may_take_the_peers_figure_from_another_row_and_hold_for_one_system_only() -> None:
    big = Kind("more tasks", "tasks/s", "more", (Bar(3, "ProcessPool", row="tasks", only="SubprocessCluster"),))
    rows = made_up() | report([Figure(big, "LocalCluster", 1), Figure(big, "SubprocessCluster", 29_999)])
    assert ("more tasks", "SubprocessCluster") in missed(rows)
    assert ("more tasks", "LocalCluster") not in missed(rows)


def test_changes_compare_ratios_to_a_peer_not_seconds() -> None:
    before, slower_machine = made_up(), made_up(rate=20_000, pool=5_000)
    assert change(slower_machine, before, "tasks", "LocalCluster") == 0
    assert change(made_up(rate=20_000), before, "tasks", "LocalCluster") == -0.5
    assert change(made_up(trip=45), before, "trip", "LocalCluster") == 1
    assert change(before, {}, "tasks", "LocalCluster") is None


def test_the_table_shows_values_ratios_bars_and_changes() -> None:
    text = terminal_table(made_up(rate=44_000), made_up())
    assert re.search(r"40,000|44,000 ✓ +20,000 ✗ .* 10,000 \(4.4x\) +≥ 3x ProcessPool +\+10% / \+0%", text)
    assert "900 (10x)" in text
    assert bar_text(TRIP, TRIP.bars[0]) == "≤ 1/4 distributed"
    assert markdown_table(made_up()).splitlines()[1] == "| --- | ---: | ---: | ---: | ---: | ---: |"


def test_a_recorded_run_reads_back_and_renews_the_page_between_its_markers(tmp_path: Path) -> None:
    run = Run.of(made_up())
    (tmp_path / "performance.md").write_text(f"before\n{record.BEGIN}\nold\n{record.END}\nafter\n", encoding="utf-8")
    record.write(run, tmp_path)
    assert record.load(tmp_path / "performance.json") == run
    page = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    assert "40,000" in page
    with pytest.raises(ValueError, match="end of figures"):
        record.between("no markers", "")


def test_the_plot_has_a_dot_per_peer_and_a_tick_per_bar() -> None:
    assert lines(made_up())[1] == ("trip", {"distributed": 10}, {"distributed": 4})
    document = ElementTree.fromstring(plot(made_up()))
    dots, heads = 2, 2
    assert len(list(document.iter("{http://www.w3.org/2000/svg}circle"))) == dots + heads


def test_what_is_recorded_is_what_the_page_and_the_plot_show() -> None:
    run = record.load(record.RECORDED)
    page = (record.DOCS / "performance.md").read_text(encoding="utf-8")
    assert markdown_table(run.rows) in page
    assert run.machine_line() in page
    assert (record.DOCS / "images" / "performance.svg").read_text(encoding="utf-8") == plot(run.rows)
    assert json.loads(record.RECORDED.read_text(encoding="utf-8"))["date"] == run.date


def test_shared_memory_counts_even_where_nobody_has_it_mapped() -> None:
    script = """if True:
        import os
        from tests.benchmarks import footprint
        me = [footprint.this_process()]
        before = footprint.pss(me)
        descriptor = os.memfd_create("benchmark")
        for _ in range(64):
            os.write(descriptor, bytes(1 << 20))
        print(footprint.pss(me) - before)
    """  # in a process in which nothing else goes on
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert 60 << 20 < int(done.stdout) < 80 << 20


Measure = Callable[[list[System]], Iterator[Figure]]
TINY: dict[str, Measure] = {
    "throughput": lambda s: throughput.throughput(s, sizes=(20, 50), enough=0.001),
    "submits": lambda s: throughput.submits(s, tasks=20),
    "tree": lambda s: throughput.tree(s, depth=3),
    "graph": lambda s: throughput.graph(s, blocks=2),
    "sleeps": lambda s: throughput.sleeps(s, tasks=4),
    "round_trips": lambda s: latency.round_trips(s, rounds=1, trips=5),
    "busy_client": lambda s: latency.busy_client(s, tasks=10, trips=2),
    "start": lambda s: life.start_and_stop(s, rounds=1),
    "imports": lambda s: life.imports(s, rounds=1),
    "growth": lambda s: life.growth(s, rounds=1, many=3),
    "second_client": lambda s: life.second_client(s, rounds=1, clients=2),
    "to_client": lambda s: data.to_client(s, mib=1, rounds=1),
    "to_worker": lambda s: data.to_worker(s, mib=1, rounds=1),
    "broadcast": lambda s: data.broadcast(s, mib=1, rounds=1),
    "chain": lambda s: data.chain(s, mib=1, links=3, rounds=1),
    "remote": lambda s: remote.remote(s, mib=1, rounds=2, pause=0),
    "idle": lambda s: upkeep.idle(s, window=0.1),
    "pending": lambda s: upkeep.pending(s, tasks=2000, few=10),
    "way": lambda s: way.way(s, tasks=20, trips=5),
}


def test_every_measure_is_tried_in_a_tiny_size() -> None:
    assert set(TINY) == set(MEASURES)


@pytest.mark.parametrize("name", TINY)
def test_a_measure_yields_figures_of_ours(name: str) -> None:
    kind = "SubprocessCluster" if name in ("pending", "way") else "LocalCluster"
    figures = list(TINY[name]([ClusterSystem("nbcluster", kind)]))
    assert figures
    assert {figure.system for figure in figures} == {kind}
    assert len({figure.kind.name for figure in figures}) == len(figures)
