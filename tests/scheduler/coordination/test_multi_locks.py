"""Several locks at once, one situation at a time."""

from __future__ import annotations

import pytest

from nbcluster.protocol import coordination as c
from nbcluster.protocol.messages import CallFailed
from tests.support.coordination_model import Stage, stage_with


@pytest.fixture
def stage() -> Stage:
    return stage_with("a", "b", "c")


def acquire(names: str, enough: int = 0, number: int = 1, wait: bool = True) -> c.AcquireLocks:
    """Locks with these letters for names: so many of them, by default all."""
    return c.AcquireLocks(number, list(names), enough or len(names), wait)


GRANTED = [c.Replied(1, True)]


def test_all_are_had_at_once_or_none(stage: Stage) -> None:
    assert stage.ask("a", acquire("x")) == GRANTED
    assert stage.ask("b", acquire("xy")) == []
    assert stage.ask("c", acquire("y")) == [], "b came first, and keeps it free until it has both"
    stage.ask("a", c.ReleaseLocks(2, 1))
    assert stage.hear("b") == GRANTED
    stage.ask("b", c.ReleaseLocks(2, 1))
    assert stage.hear("c") == GRANTED


def test_requests_in_a_circle_wait_for_each_other_in_one_order(stage: Stage) -> None:
    assert stage.ask("a", acquire("xy")) == GRANTED
    assert stage.ask("b", acquire("yz")) == []
    assert stage.ask("c", acquire("zx")) == []
    stage.ask("a", c.ReleaseLocks(2, 1))
    assert (stage.hear("b"), stage.hear("c")) == (GRANTED, [])
    stage.ask("b", c.ReleaseLocks(2, 1))
    assert stage.hear("c") == GRANTED


def test_enough_of_many_leave_the_others_to_others(stage: Stage) -> None:
    assert stage.ask("a", acquire("xyz", enough=2)) == GRANTED
    assert stage.ask("b", acquire("xyz", enough=1)) == GRANTED
    assert stage.ask("c", acquire("xyz", enough=1)) == []
    stage.ask("b", c.ReleaseLocks(2, 1))
    assert stage.hear("c") == GRANTED


def test_who_gives_up_or_does_not_wait_stands_in_nobodys_way(stage: Stage) -> None:
    stage.ask("a", acquire("x"))
    assert stage.ask("b", acquire("xy", wait=False)) == [c.Replied(1, False)]
    stage.ask("b", acquire("xy", number=2))
    assert stage.ask("c", acquire("y")) == []
    assert stage.ask("b", c.Withdraw(2, False)) == [c.Replied(2, False)]
    assert stage.hear("c") == GRANTED


def test_locks_go_with_their_client(stage: Stage) -> None:
    stage.ask("a", acquire("xy"))
    stage.ask("b", acquire("y"))
    stage.leave("a")
    assert stage.hear("b") == GRANTED


def test_only_who_has_locks_can_release_them(stage: Stage) -> None:
    stage.ask("a", acquire("x"))
    stage.ask("b", acquire("x"))
    assert stage.ask("b", c.ReleaseLocks(2, 1)) == [c.Replied(2, False)], "it waits still"
    assert stage.ask("c", c.ReleaseLocks(2, 1)) == [c.Replied(2, False)]
    assert stage.ask("a", c.ReleaseLocks(2, 1), c.ReleaseLocks(3, 1)) == [c.Replied(2, True), c.Replied(3, False)]


def test_a_name_counts_once_however_often_it_is_given(stage: Stage) -> None:
    assert stage.ask("a", acquire("xxy", enough=2)) == GRANTED
    [refused] = stage.ask("b", acquire("xx", enough=2))
    assert isinstance(refused, CallFailed)
    assert refused.message == "num_locks=2 is not between 1 and the number of names, 1"
