from __future__ import annotations

import json
import re
from typing import Any

import pytest

from nbcluster.dashboard.plots.profile import profile_columns
from nbcluster.dashboard.report import Report, report_html
from nbcluster.protocol.profiles import CallTree, Profile
from nbcluster.snapshot import ClusterView, TaskRecord, WorkerView
from nbcluster.types import Status

GIB = 2**30


def profile() -> Profile:
    tree = CallTree()
    tree.add([("main", "app.py", 1), ("step", "app.py", 7)], 60)
    tree.add([("main", "app.py", 1), ("load", "io.py", 3)], 30)
    tree.add([("main", "app.py", 1)], 10)
    return tree.record()


def runs(count: int = 300) -> list[TaskRecord]:
    return [
        TaskRecord(
            key=f"step-{n}",
            prefix="step" if n % 3 else "<b>load</b>",
            worker=n % 2,
            thread=0,
            start=1e9 + n,
            stop=1e9 + n + 0.9,
            status="error" if n == 7 else "finished",
            nbytes=100,
            number=n + 1,
        )
        for n in range(count)
    ]


def report(records: list[TaskRecord], tree: Profile, code: str = "work()") -> Report:
    workers = [WorkerView(name=n, memory_limit=2 * GIB, memory=GIB, status=Status.RUNNING) for n in range(2)]
    view = ClusterView(id="c", name="c", status=Status.RUNNING, workers=workers)
    return Report(1e9, 1e9 + 300, code, view, records, tree, tree, {"python": "3.12"})


def test_a_report_needs_nothing_but_itself() -> None:
    page = report_html(report(runs(), profile()))
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="?http', page)
    for text in ("300, 1 failed", "2 workers, 2 threads", "python 3.12"):
        assert text in page


def test_what_tasks_and_code_are_called_is_text_only() -> None:
    page = report_html(report(runs(), profile(), code="x = '<script>alert(1)</script>'"))
    assert "<b>load</b>" not in page.split("<script")[0] + page.split("</script>")[-1]
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_report_of_nothing_says_so() -> None:
    page = report_html(report([], Profile()))
    assert page.count("No task ran") == 3


@pytest.mark.parametrize("records", [0, 30])
@pytest.mark.parametrize("sampled", [False, True])
def test_all_that_is_to_be_drawn_has_its_place_in_the_page(records: int, sampled: bool) -> None:
    page = report_html(report(runs(records), profile() if sampled else Profile()))
    drawn = json.loads(re.findall(r"render_items = (.*);", page)[-1])
    places = re.findall(r'<div id="([^"]+)" data-root-id', page)
    assert sorted(place for item in drawn for place in item["roots"].values()) == sorted(places)
    assert len(places) == 1 + bool(records) + 2 * sampled


def test_all_runs_are_in_the_stream_however_long_it_took() -> None:
    from nbcluster.dashboard.report import stream_figure

    figure = stream_figure(runs(), None)
    renderer: Any = figure.renderers[0]
    columns = renderer.data_source.data
    assert len(columns["y"]) == 300


def test_a_profile_is_drawn_from_the_outermost_call() -> None:
    columns, depth = profile_columns(profile(), 8)
    assert depth == 2
    ends = [round(end, 6) for end in columns["right"]]
    bars = list(zip(columns["function"], columns["y"], columns["left"], ends, strict=True))
    assert bars == [("main", 0, 0.0, 1.0), ("step", 1, 0.0, 0.6), ("load", 1, 0.6, 0.9)]
    assert columns["took"][1].replace(" ", " ").startswith("600")
    assert columns["hue"] == [0, 1, 2]
