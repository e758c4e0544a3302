"""What a card asks of its cluster, and what it says while it waits and when it was refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nbcluster.commands import AnyAnswer, Restart, View
from nbcluster.errors import ClusterClosedError
from nbcluster.widgets.orders import MOST_FAILURES, Orders, describe
from tests.support.fake_cluster import make_view


class FakeRemote:
    def __init__(self) -> None:
        self.sent: list[tuple[Callable[[AnyAnswer], None], Callable[[Exception], None]]] = []

    def send(self, command: Any, answered: Callable[[AnyAnswer], None], failed: Callable[[Exception], None]) -> None:
        self.sent.append((answered, failed))


class Desk:
    def __init__(self) -> None:
        self.remote = FakeRemote()
        self.drawn: list[Any] = []
        remote: Any = self.remote
        self.orders = Orders(remote, self.drawn.append)

    def order(self, doing: str) -> None:
        self.orders.give(Restart(), doing, "Not done")


def test_it_says_what_was_begun_last_until_all_is_answered() -> None:
    desk = Desk()
    desk.order("Scaling…")
    desk.order("Restarting…")
    assert desk.orders.doing == "Restarting…"
    (first, _), (second, _) = desk.remote.sent
    second(View(cluster=make_view()))
    assert desk.orders.doing == "Scaling…"
    first(View(cluster=make_view()))
    assert desk.orders.doing == ""
    assert desk.drawn == [None, None, make_view(), make_view()], "an answer brings the view that it made"


def test_the_latest_refusals_are_shown_each_once() -> None:
    desk = Desk()
    for text in [*"abcdefg", "e"]:
        desk.order("Scaling…")
        desk.remote.sent[-1][1](ValueError(text))
    assert list(desk.orders.failures) == [f"Not done: {text}" for text in "cdfge"]
    assert len(desk.orders.failures) == MOST_FAILURES
    assert desk.orders.doing == ""
    desk.orders.dismiss()
    assert not desk.orders.failures


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("n is too large"), "n is too large"),
        (ClusterClosedError("it is closed"), "it is closed"),
        (KeyError("n"), "KeyError: 'n'"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_an_error_that_was_not_meant_for_people_comes_with_its_type(error: Exception, text: str) -> None:
    assert describe(error) == text
