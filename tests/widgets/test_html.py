from __future__ import annotations

import html.parser

import pytest

from nbcluster.snapshot import AdaptiveView, ClusterView, OwnerView, TaskCounts, WorkerView
from nbcluster.types import Status
from nbcluster.widgets.html import html_of

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Elements(html.parser.HTMLParser):
    """All elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data + "|"


def view(**changes: object) -> ClusterView:
    facts = {
        "id": "0123456789abcdef",
        "name": "analysis",
        "status": Status.RUNNING,
        "address": "tcp://127.0.0.1:1",
        "requested": 2,
        "workers": [WorkerView(name=n, status=Status.RUNNING, memory=2**29, memory_limit=2**30) for n in range(2)],
        "tasks": TaskCounts(memory=3, queued=1),
    }
    return ClusterView(**{**facts, **changes})  # type: ignore[arg-type]


def test_it_says_how_the_cluster_is() -> None:
    text = Elements(html_of(view())).text
    for fact in ("analysis", "Running", "Workers|2", "Memory|1.00 GiB of 2.00 GiB", "Tasks|3 of 4"):
        assert fact in text


def test_it_says_more_when_there_is_more() -> None:
    more = view(
        adaptive=AdaptiveView(minimum=1, maximum=4, target=2),
        owner=OwnerView(kind="notebook", path="a/b.ipynb"),
        dashboard_link="http://127.0.0.1:8787/status",
        requested=3,
        message="Two are there",
    )
    elements = Elements(html_of(more))
    for fact in ("between 1 and 4 workers", "b.ipynb", "2 of 3", "Two are there"):
        assert fact in elements.text
    assert "a" in elements.tags


@pytest.mark.parametrize("status", list(Status))
def test_every_state_has_a_word(status: Status) -> None:
    assert Elements(html_of(view(status=status))).text.split("|")[1]


def test_nothing_in_it_runs() -> None:
    hostile = view(
        name=HOSTILE,
        message=HOSTILE,
        address=HOSTILE,
        dashboard_link="javascript:alert(1)",
        owner=OwnerView(kind="kernel", kernel_name=HOSTILE),
    )
    elements = Elements(html_of(hostile))
    assert set(elements.tags) <= {"div", "span", "table", "tbody", "tr", "th", "td"}
    assert elements.attributes == {"style"}
    assert elements.text.count("<script>alert(1)</script>") == 4
