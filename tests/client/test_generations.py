"""Which submissions are of one generation."""

from __future__ import annotations

from nbcluster.client.generations import Generations, following
from nbcluster.protocol.messages import SAME_LINE, Line

NEW = Line(new_generation=True)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_generation_lasts_from_its_first_submission_as_long_as_the_later_ones_allow() -> None:
    clock = Clock()
    generations = Generations(clock)
    assert generations.line(0.1) == NEW
    clock.now += 0.09
    assert generations.line(0.1) == SAME_LINE
    clock.now += 0.09
    assert generations.line(60.0) == SAME_LINE
    assert generations.line(0.1) == NEW
    assert generations.line(0.1) == SAME_LINE


def test_without_a_timeout_each_submission_is_one_of_its_own() -> None:
    clock = Clock()
    generations = Generations(clock)
    assert generations.line(0.0) == NEW
    clock.now += 0.001
    assert generations.line(0.0) == NEW


def test_the_rest_of_a_submission_is_of_the_generation_that_its_beginning_began() -> None:
    assert following(NEW) == SAME_LINE
    assert following(SAME_LINE) == SAME_LINE
    assert following(Line(parent="a")) == Line(parent="a")
