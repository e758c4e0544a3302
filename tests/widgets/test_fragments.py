from __future__ import annotations

import pytest

from nbcluster.snapshot import ClusterView, LogLine, OwnerView, PrefixView, TaskCounts, WorkerView
from nbcluster.types import Status
from nbcluster.widgets import fragments
from tests.widgets.test_html import HOSTILE, Elements, view


def hostile() -> ClusterView:
    return view(
        name=HOSTILE,
        message=HOSTILE,
        address=HOSTILE,
        dashboard_link=f"/{HOSTILE}",
        versions={HOSTILE: HOSTILE},
        owner=OwnerView(kind="notebook", path=HOSTILE),
        workers=[
            WorkerView(name=HOSTILE, address=HOSTILE, status=Status.RUNNING, last_exit=HOSTILE),
        ],
        prefixes=[PrefixView(name=HOSTILE, counts=TaskCounts())],
    )


STRUCTURE = {"div", "span", "p", "pre", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd"}
ALLOWED = STRUCTURE | {"a", "circle", "path", "small", "svg", "time"}


def test_nothing_that_a_cluster_says_is_markup() -> None:
    line = LogLine(time=0.0, source=HOSTILE, level=HOSTILE, text=HOSTILE, worker=HOSTILE)
    pieces = [
        fragments.title(hostile(), "", 0.0),
        fragments.message(hostile()),
        fragments.figures(hostile()),
        fragments.tasks(hostile()),
        fragments.workers(hostile()),
        fragments.info(hostile()),
        fragments.hint(HOSTILE),
        fragments.question(HOSTILE),
        fragments.notice("error", HOSTILE, "x"),
        fragments.log_lines([line], 0, ""),
    ]
    for piece in pieces:
        elements = Elements(piece)
        assert set(elements.tags) <= ALLOWED, piece
        assert not any(name.startswith("on") for name in elements.attributes), piece
    frame = Elements(fragments.dashboard(hostile()))
    assert set(frame.tags) <= {"div", "p", "a", "iframe"}
    assert "onerror" not in frame.attributes


@pytest.mark.parametrize("link", ["javascript:alert(1)", "//elsewhere.example/", "data:text/html,x", ""])
def test_a_frame_shows_pages_only(link: str) -> None:
    assert fragments.dashboard(view(dashboard_link=link)).count("<iframe") == 0


def test_a_frame_is_there_for_each_theme() -> None:
    frame = fragments.dashboard(view(dashboard_link="/lab/status?a=1"))
    assert 'src="/lab/status?a=1&amp;theme=light"' in frame
    assert 'src="/lab/status?a=1&amp;theme=dark"' in frame


def test_workers_that_are_awaited_show() -> None:
    assert "of 3" in fragments.figures(view(requested=3))
    assert "of" not in Elements(fragments.figures(view(workers=[], requested=0))).text


def test_full_memory_is_alarming_and_a_busy_processor_is_not() -> None:
    full = WorkerView(name=0, status=Status.RUNNING, memory=99, memory_limit=100, cpu=10.0)
    assert "nbw-mod-full" in fragments.figures(view(workers=[full]))
    busy = WorkerView(name=0, status=Status.RUNNING, memory=1, memory_limit=100, cpu=100.0)
    assert "nbw-mod-full" not in fragments.figures(view(workers=[busy]))
