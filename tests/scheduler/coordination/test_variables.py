"""Variables, one situation at a time."""

from __future__ import annotations

import pytest

from nbcluster.protocol import coordination as c
from nbcluster.scheduler.events import Forget
from tests.support.coordination_model import Stage, shared, stage_with


@pytest.fixture
def stage() -> Stage:
    return stage_with("a", "b")


def handed(number: int, value: str) -> c.HandedOver:
    return c.HandedOver(number, [shared(value).payload])


def kept(stage: Stage) -> set[str]:
    return stage.core.coordination.kept.keys


def test_the_latest_value_counts_and_can_be_had_again_and_again(stage: Stage) -> None:
    stage.ask("a", c.SetVariable(1, "v", shared("x")), c.SetVariable(2, "v", shared("y")))
    for number in (1, 2):
        assert stage.ask("b", c.GetVariable(number, "v", True)) == [handed(number, "y")]


def test_all_who_wait_for_the_first_value_get_it(stage: Stage) -> None:
    assert stage.ask("b", c.GetVariable(1, "v", True), c.GetVariable(2, "v", True)) == []
    assert stage.ask("a", c.SetVariable(1, "v", shared("x"))) == [c.Replied(1, True)]
    assert stage.hear("b") == [handed(1, "x"), handed(2, "x")]


def test_whoever_does_not_wait_or_gives_up_is_told_that_there_is_none(stage: Stage) -> None:
    assert stage.ask("b", c.GetVariable(1, "v", False)) == [c.Replied(1, False)]
    stage.ask("b", c.GetVariable(2, "v", True))
    assert stage.ask("b", c.Withdraw(2, False)) == [c.Replied(2, False)]
    stage.ask("a", c.SetVariable(1, "v", shared("x")))
    assert stage.hear("b") == []


def test_a_value_that_was_deleted_is_waited_for_like_the_first(stage: Stage) -> None:
    stage.ask("a", c.SetVariable(1, "v", shared("x")), c.DeleteVariable(2, "v"))
    assert stage.ask("b", c.GetVariable(1, "v", True)) == []
    stage.ask("a", c.SetVariable(3, "v", shared("y")))
    assert stage.hear("b") == [handed(1, "y")]


def test_futures_in_a_value_are_wanted_as_long_as_it_is_there_or_on_its_way(stage: Stage) -> None:
    stage.ask("a", c.SetVariable(1, "v", shared("x", "k")))
    stage.ask("b", c.GetVariable(1, "v", True))
    stage.ask("a", c.SetVariable(2, "v", shared("y")))
    assert kept(stage) == {"k"}, "b has not received it"
    stage.ask("b", c.Received(1))
    assert kept(stage) == set()


def test_a_client_that_vanishes_receives_nothing_any_more(stage: Stage) -> None:
    stage.ask("a", c.SetVariable(1, "v", shared("x", "k")))
    stage.ask("b", c.GetVariable(1, "v", True))
    stage.ask("a", c.DeleteVariable(2, "v"))
    stage.leave("b")
    assert kept(stage) == set()


def test_a_value_outlives_its_client_and_a_restart_unless_it_has_futures_in_it(stage: Stage) -> None:
    stage.ask("a", c.SetVariable(1, "plain", shared("x")), c.SetVariable(2, "future", shared("y", "k")))
    stage.leave("a")
    assert kept(stage) == {"k"}
    stage.handle(Forget("restarted", "It was restarted."))
    stage.hear("b")
    assert stage.ask("b", c.GetVariable(1, "plain", False)) == [handed(1, "x")]
    assert stage.ask("b", c.GetVariable(2, "future", False)) == [c.Replied(2, False)]
