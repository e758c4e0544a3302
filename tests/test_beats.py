from __future__ import annotations

import os
import time

import pytest

from nbcluster.beats import until_beat


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as ``time.monotonic`` tells it."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_from_one_beat_to_the_next_is_one_interval(clock: list[float]) -> None:
    clock[0] += until_beat(0.5)
    for _ in range(10):
        pause = until_beat(0.5)
        assert pause == pytest.approx(0.5)
        clock[0] += pause


def test_intervals_that_divide_each_other_share_their_moments(clock: list[float]) -> None:
    often: list[float] = []
    seldom: list[float] = []
    for moments, interval in ((often, 0.5), (seldom, 2.0)):
        clock[0] = 1000.3
        for _ in range(20):
            clock[0] += until_beat(interval)
            moments.append(clock[0])
    for moment in seldom[:4]:
        assert any(moment == pytest.approx(other) for other in often)


@pytest.mark.parametrize("interval", [0.01, 0.5, 1.0, 7.0])
def test_a_pause_is_never_less_than_half_an_interval(clock: list[float], interval: float) -> None:
    for _ in range(200):
        clock[0] += interval * 0.0377
        assert interval / 2 <= until_beat(interval) < interval * 1.5


def test_a_timer_that_was_early_does_not_make_two_looks_of_one(clock: list[float]) -> None:
    clock[0] += until_beat(1.0) - 0.001
    assert until_beat(1.0) == pytest.approx(1.001)


def test_two_processes_wake_at_different_moments(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    moments = set()
    for pid in range(100, 132):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        moments.add(round((clock[0] + until_beat(1.0)) % 1.0, 3))
    assert len(moments) == 32
