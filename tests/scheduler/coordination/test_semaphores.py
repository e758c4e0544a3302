"""Leases, one situation at a time."""

from __future__ import annotations

from nbcluster.protocol import coordination as c
from nbcluster.scheduler.coordination import semaphores
from nbcluster.scheduler.events import Tick
from tests.support.coordination_model import stage_with


def acquire(number: int, expires: bool = True, wait: bool = True) -> c.AcquireLease:
    return c.AcquireLease(number, "s", 1, wait, expires)


def test_a_lease_that_is_not_renewed_goes_to_who_waits_for_it() -> None:
    stage = stage_with("a", "b")
    assert stage.ask("a", acquire(1)) == [c.LeaseGranted(1, 30.0)]
    assert stage.ask("b", acquire(1)) == []
    stage.now = 29.0
    stage.handle(Tick())
    assert stage.hear("b") == []
    stage.now = 31.0
    stage.handle(Tick())
    assert stage.hear("b") == [c.LeaseGranted(1, 30.0)]
    assert stage.ask("a", c.ReleaseLease(2, 1)) == [c.Replied(2, False)]


def test_a_lease_that_is_renewed_does_not_expire() -> None:
    stage = stage_with("a", "b")
    stage.ask("a", acquire(1))
    stage.ask("b", acquire(1))
    stage.now = 20.0
    stage.ask("a", c.RenewLeases([1]))
    stage.now = 40.0
    stage.handle(Tick())
    assert stage.hear("b") == []


def test_a_lease_that_nobody_waits_for_does_not_expire() -> None:
    stage = stage_with("a")
    stage.ask("a", acquire(1))
    stage.now = 1000.0
    stage.handle(Tick())
    assert not stage.core.coordination.ticks
    assert stage.ask("a", c.ReleaseLease(2, 1)) == [c.Replied(2, True)]


def test_a_lock_never_expires_but_goes_with_its_client() -> None:
    stage = stage_with("a", "b")
    stage.ask("a", acquire(1, expires=False))
    stage.ask("b", acquire(1, expires=False))
    stage.now = 1000.0
    stage.handle(Tick())
    assert stage.hear("b") == []
    stage.leave("a")
    assert stage.hear("b") == [c.LeaseGranted(1, 0.0)]


def test_a_timeout_takes_what_was_granted_before_it_was_read_and_an_interrupt_does_not() -> None:
    stage = stage_with("a", "b")
    stage.ask("a", acquire(1), c.Withdraw(1, False))
    assert stage.ask("b", acquire(1, wait=False)) == [c.Replied(1, False)]
    assert stage.ask("b", acquire(2), c.Withdraw(2, False)) == [c.Replied(2, False)]
    stage.ask("a", c.Withdraw(1, True))
    assert stage.ask("b", acquire(3)) == [c.LeaseGranted(3, 30.0)]


def test_only_the_latest_of_what_nobody_uses_is_remembered() -> None:
    stage = stage_with("a")
    for number in range(1, semaphores.IDLE_KEPT + 3):
        stage.ask("a", c.AcquireLease(number, f"s{number}", 1, True, False), c.Withdraw(number, True))
    heard = stage.ask("a", c.AcquireLease(5000, "s1", 2, True, False))
    assert heard == [c.LeaseGranted(5000, 0.0)], "it may have another number of leases now"


def test_an_open_request_is_not_made_twice() -> None:
    stage = stage_with("a")
    stage.ask("a", acquire(1))
    [refused] = stage.ask("a", acquire(1))
    assert "request 1 is open already" in refused.message
