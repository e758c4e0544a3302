"""Topics: what is kept of them, and who is told."""

from __future__ import annotations

import pytest

from nbcluster.protocol import coordination as c
from nbcluster.protocol.payload import Payload
from nbcluster.scheduler.coordination import topics
from tests.support.coordination_model import Stage, stage_with


@pytest.fixture
def stage() -> Stage:
    stage = stage_with("a", "b")
    stage.hear("a")
    return stage


def log(stage: Stage, value: str, *names: str) -> None:
    assert stage.ask("a", c.LogEvent(1, list(names), Payload(value.encode()))) == [c.Replied(1, True)]


def events(stage: Stage, topic: str | None) -> dict[str, list[str]]:
    """What was logged, by topic; without what the scheduler says of itself."""
    [found] = stage.ask("a", c.GetEvents(2, topic))
    return {
        name: [event.value.data.decode() for event in logged]
        for name, logged in found.topics.items()
        if name not in ("all", "scheduler")
    }


def test_events_are_kept_by_topic_in_order(stage: Stage) -> None:
    log(stage, "1", "x", "y")
    log(stage, "2", "x")
    assert events(stage, "x") == {"x": ["1", "2"]}
    assert events(stage, None) == {"y": ["1"], "x": ["1", "2"]}
    assert events(stage, "unknown") == {"unknown": []}


def test_subscribers_are_told_until_they_want_to_know_no_more(stage: Stage) -> None:
    stage.ask("b", c.SubscribeTopic("x", True))
    log(stage, "1", "x", "y")
    [news] = stage.hear("b")
    assert (news.topic, news.event.value) == ("x", Payload(b"1"))
    stage.ask("b", c.SubscribeTopic("x", False))
    log(stage, "2", "x")
    assert stage.hear("b") == []
    stage.ask("b", c.SubscribeTopic("x", False))


def test_events_carry_the_moment_by_the_clock_on_the_wall(stage: Stage) -> None:
    stage.core.state.epoch, stage.now = 1000.0, 5.0
    log(stage, "1", "x")
    [found] = stage.ask("a", c.GetEvents(2, "x"))
    assert [event.when for event in found.topics["x"]] == [1005.0]


def test_the_oldest_events_of_a_topic_give_way(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "MOST_EVENTS", 2)
    for value in "123":
        log(stage, value, "x")
    assert events(stage, "x") == {"x": ["2", "3"]}


def test_the_topic_that_was_silent_for_longest_gives_way(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "MOST_TOPICS", 2)
    for name in ("x", "y", "x", "z"):
        log(stage, "1", name)
    assert list(events(stage, None)) == ["x", "z"]


def test_of_all_that_is_kept_the_oldest_of_the_most_silent_topic_gives_way(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "MOST_BYTES", 4)
    for name, value in (("x", "11"), ("x", "22"), ("y", "33")):
        log(stage, value, name)
    assert events(stage, None) == {"x": ["22"], "y": ["33"]}
    log(stage, "44444", "z")
    assert events(stage, None) == {}, "larger than all that is kept"
