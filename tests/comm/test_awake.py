"""Who stays awake for an answer, and for how long."""

from __future__ import annotations

import asyncio

import pytest

from nbcluster.comm import awake
from nbcluster.comm.awake import MOMENT, AwakeLoop, Expectation
from tests.support.links import DEADLINE


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(awake, "time", clock)
    monkeypatch.setattr(awake, "_alone", False)
    return clock


def moment_until_next(expectation: Expectation, clock: Clock, answer_after: float) -> float:
    expectation.asked()
    clock.now += answer_after
    expectation.answered()
    return expectation.asked() - clock.now


def test_nobody_stays_awake_for_the_first_answer(clock: Clock) -> None:
    assert Expectation().asked() == clock.now


def test_who_was_answered_soon_stays_awake_for_a_moment_and_who_was_not_does_not(clock: Clock) -> None:
    expectation = Expectation()
    assert moment_until_next(expectation, clock, MOMENT / 2) == pytest.approx(MOMENT)
    assert moment_until_next(expectation, clock, MOMENT * 2) == 0
    assert moment_until_next(expectation, clock, MOMENT / 2) == pytest.approx(MOMENT)


def test_nobody_stays_awake_where_there_is_one_processor(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awake, "_alone", True)
    assert moment_until_next(Expectation(), clock, MOMENT / 2) == 0


class Turns:
    """Counts what a loop is asked to call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.count = 0
        self._loop = loop

    def call_soon(self, callback: object) -> None:
        self.count += 1
        self._loop.call_soon(callback)  # type: ignore[arg-type]


def test_a_loop_looks_at_each_turn_until_the_answer_is_there_or_the_moment_over(clock: Clock) -> None:
    async def main() -> None:
        turns = Turns(asyncio.get_running_loop())
        loop = AwakeLoop(turns)  # type: ignore[arg-type]
        loop.asked()
        loop.answered()
        assert turns.count == 0, "it learns from the first"
        loop.asked()
        for _ in range(10):
            await asyncio.sleep(0)
        looks = turns.count
        assert looks >= 10
        loop.answered()
        for _ in range(10):
            await asyncio.sleep(0)
        assert turns.count == looks, "the answer is there"
        loop.asked()
        await asyncio.sleep(0)
        clock.now += MOMENT
        for _ in range(10):
            await asyncio.sleep(0)
        assert turns.count <= looks + 2, "the moment is over"
        loop.answered()
        before = turns.count
        loop.asked()
        assert turns.count == before, "the last one came late"

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_what_comes_unasked_for_teaches_nothing(clock: Clock) -> None:
    async def main() -> None:
        turns = Turns(asyncio.get_running_loop())
        loop = AwakeLoop(turns)  # type: ignore[arg-type]
        loop.asked()
        clock.now += 2 * MOMENT
        loop.answered()
        loop.answered()
        loop.asked()
        assert turns.count == 0

    asyncio.run(asyncio.wait_for(main(), DEADLINE))
