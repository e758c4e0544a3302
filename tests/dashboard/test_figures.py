from __future__ import annotations

import json

from nbcluster.dashboard.figures import counts, metrics
from nbcluster.snapshot import PrefixView, TaskCounts
from tests.support.fake_cluster import make_view, make_worker


def test_counts_are_plain_json_with_totals() -> None:
    view = make_view(
        0,
        clients=1,
        tasks=TaskCounts(processing=3, memory=4, erred=1, done=9),
        prefixes=[PrefixView(name="a\nb", counts=TaskCounts(done=9))],
    )
    figures = counts(view)
    assert json.loads(json.dumps(figures)) == figures
    assert figures["tasks"] == 8
    assert figures["done"] == 9
    assert figures["workers"] == figures["cores"] == figures["limit"] == 0
    assert figures["prefixes"][0]["name"] == "a\ufffdb"


def test_counts_add_up_the_workers() -> None:
    view = make_view([make_worker(0, nthreads=2, memory=5, processing=3), make_worker(1, memory=6)])
    figures = counts(view)
    assert (figures["cores"], figures["bytes"], figures["idle"], figures["saturated"]) == (3, 11, 1, 1)


def test_metrics_are_lines_that_prometheus_reads() -> None:
    text = metrics(make_view(2, tasks=TaskCounts(processing=7)))
    assert 'nbcluster_tasks{state="processing"} 7\n' in text
    assert 'nbcluster_worker_threads{worker="1"} 1\n' in text
    assert text.endswith("\n")
    for line in text.splitlines():
        assert line.startswith("#") or len(line.split(" ")) == 2


def test_a_hostile_name_stays_inside_its_label() -> None:
    text = metrics(make_view([make_worker('x"} 1\nevil 2\\')]))
    assert r'nbcluster_worker_threads{worker="x\"} 1\nevil 2\\"} 1' in text
    assert not any(line.startswith("evil") for line in text.splitlines())
