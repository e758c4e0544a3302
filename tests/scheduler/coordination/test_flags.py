"""Flags, one situation at a time."""

from __future__ import annotations

from nbcluster.protocol import coordination as c
from tests.support.coordination_model import stage_with


def test_all_who_wait_go_on_when_it_is_set_and_who_comes_later_does_not_wait() -> None:
    stage = stage_with("a", "b")
    assert stage.ask("b", c.AwaitFlag(1, "f", True), c.AwaitFlag(2, "f", True)) == []
    assert stage.ask("a", c.SetFlag(1, "f", True)) == [c.Replied(1, True)]
    assert stage.hear("b") == [c.Replied(1, True), c.Replied(2, True)]
    assert stage.ask("b", c.AwaitFlag(3, "f", False)) == [c.Replied(3, True)]


def test_from_when_it_is_cleared_on_one_waits_again() -> None:
    stage = stage_with("a", "b")
    stage.ask("a", c.SetFlag(1, "f", True), c.SetFlag(2, "f", False))
    assert stage.ask("b", c.GetFlag(1, "f"), c.AwaitFlag(2, "f", True)) == [c.Replied(1, False)]
    assert stage.ask("b", c.Withdraw(2, False)) == [c.Replied(2, False)]


def test_it_stays_set_when_its_client_goes() -> None:
    stage = stage_with("a", "b")
    stage.ask("a", c.SetFlag(1, "f", True))
    stage.leave("a")
    assert stage.ask("b", c.GetFlag(1, "f")) == [c.Replied(1, True)]


def test_who_waits_and_vanishes_leaves_nothing_behind() -> None:
    stage = stage_with("a", "b")
    stage.ask("b", c.AwaitFlag(1, "f", True))
    stage.leave("b")
    assert stage.core.coordination.open_requests == 0
