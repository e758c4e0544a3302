"""Queues, one situation at a time."""

from __future__ import annotations

from typing import Any

import pytest

from nbcluster.protocol import coordination as c
from nbcluster.protocol.messages import CallFailed
from nbcluster.scheduler.events import Forget
from tests.support.coordination_model import Stage, shared, stage_with


@pytest.fixture
def stage() -> Stage:
    return stage_with("a", "b")


def put(number: int, value: str, *keys: str, maxsize: int = 0, wait: bool = True) -> c.PutItem:
    return c.PutItem(number, "q", maxsize, shared(value, *keys), wait)


def get(number: int, count: int = 1, wait: bool = True) -> c.GetItems:
    return c.GetItems(number, "q", 0, count, wait)


def handed(number: int, *values: str) -> c.HandedOver:
    return c.HandedOver(number, [shared(value).payload for value in values])


def count(stage: Stage) -> int:
    [reply] = stage.ask("b", c.CountItems(999, "q"))
    return int(reply.value)


def test_items_come_out_in_the_order_in_which_they_went_in(stage: Stage) -> None:
    assert stage.ask("a", put(1, "x"), put(2, "y")) == [c.Replied(1, True), c.Replied(2, True)]
    assert count(stage) == 2
    assert stage.ask("b", get(1), get(2)) == [handed(1, "x"), handed(2, "y")]


def test_whoever_came_first_gets_first(stage: Stage) -> None:
    assert stage.ask("b", get(1)) == []
    assert stage.ask("a", get(1), put(2, "x")) == [c.Replied(2, True)]
    assert stage.hear("b") == [handed(1, "x")]


def test_a_full_queue_makes_who_puts_wait_or_refuses_it(stage: Stage) -> None:
    first, second = put(1, "x", maxsize=1), put(2, "y", maxsize=1)
    assert stage.ask("a", first, second, put(3, "z", wait=False)) == [c.Replied(1, True), c.Replied(3, False)]
    assert stage.ask("b", get(1)) == [handed(1, "x")]
    assert stage.hear("a") == [c.Replied(2, True)]


def test_an_empty_queue_makes_who_gets_wait_or_says_so(stage: Stage) -> None:
    assert stage.ask("b", get(1, wait=False)) == [c.Replied(1, False)]
    assert stage.ask("b", get(2)) == []
    assert stage.ask("b", c.Withdraw(2, False)) == [c.Replied(2, False)]


def test_several_are_collected_as_they_come_so_that_a_full_queue_keeps_moving(stage: Stage) -> None:
    assert stage.ask("b", get(1, count=3)) == []
    puts = [put(number, str(number), maxsize=1) for number in (1, 2, 3)]
    assert stage.ask("a", *puts) == [c.Replied(number, True) for number in (1, 2, 3)]
    assert stage.hear("b") == [handed(1, "1", "2", "3")]


def test_a_count_of_none_takes_whatever_is_there(stage: Stage) -> None:
    stage.ask("a", put(1, "x", maxsize=1), put(2, "y", maxsize=1))
    assert stage.ask("b", get(1, count=0)) == [handed(1, "x", "y")]
    assert stage.ask("b", get(2, count=0)) == [handed(2)]


@pytest.mark.parametrize("how", ["gives up", "vanishes"])
def test_what_was_collected_or_handed_over_goes_back_to_its_old_place(stage: Stage, how: str) -> None:
    stage.ask("a", put(1, "x"), put(2, "y"))
    stage.ask("b", get(1), get(2, count=2))
    if how == "vanishes":
        stage.leave("b")
    else:
        stage.ask("b", c.Withdraw(2, True), c.Withdraw(1, True))
    assert stage.ask("a", get(9, count=2)) == [handed(9, "x", "y")]


def test_what_was_received_stays_with_whoever_has_it(stage: Stage) -> None:
    stage.ask("a", put(1, "x"))
    stage.ask("b", get(1), c.Received(1))
    stage.leave("b")
    assert stage.ask("a", get(2, wait=False)) == [c.Replied(2, False)]


def test_a_queue_outlives_a_client_that_goes_but_not_the_last_object_that_is_closed(stage: Stage) -> None:
    opened = c.OpenQueue("q", 0)
    stage.ask("a", opened, put(1, "x"))
    stage.ask("b", opened)
    stage.leave("a")
    assert count(stage) == 1
    stage.ask("b", c.LeaveQueue("q", True))
    assert count(stage) == 0


def test_who_waits_at_a_queue_that_is_closed_is_told_so(stage: Stage) -> None:
    stage.ask("a", c.OpenQueue("q", 0), get(1))
    assert stage.ask("a", c.LeaveQueue("q", True)) == [CallFailed(1, "RuntimeError", "The queue 'q' was closed")]


def test_another_object_for_the_queue_keeps_it_open(stage: Stage) -> None:
    stage.ask("a", c.OpenQueue("q", 0), c.OpenQueue("q", 0), put(1, "x"), c.LeaveQueue("q", True))
    assert count(stage) == 1


def test_futures_in_a_queue_are_wanted_until_somebody_has_them(stage: Stage) -> None:
    kept = stage.core.coordination.kept
    stage.ask("a", put(1, "x", "k"), put(2, "y", "k"))
    assert kept.keys == {"k"}
    stage.ask("b", get(1), c.Received(1))
    assert kept.keys == {"k"}, "it is in the queue once more"
    stage.ask("b", get(2))
    assert kept.keys == {"k"}, "it is on its way"
    stage.ask("b", c.Received(2))
    assert kept.keys == set()


def test_a_restart_drops_what_has_futures_in_it_and_keeps_the_rest(stage: Stage) -> None:
    stage.ask("a", put(1, "plain", maxsize=2), put(2, "x", "k"), put(3, "y", "k"))
    stage.handle(Forget("restarted", "It was restarted."))
    heard: list[Any] = [message for message in stage.hear("a") if isinstance(message, CallFailed)]
    assert heard == [CallFailed(3, "RuntimeError", "the cluster was restarted, and the futures are lost")]
    assert stage.ask("b", get(1, count=0)) == [handed(1, "plain")]
    assert stage.core.coordination.kept.keys == set()
