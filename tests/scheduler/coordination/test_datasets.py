"""What was published, one situation at a time."""

from __future__ import annotations

import pytest

from nbcluster.protocol import coordination as c
from nbcluster.scheduler.events import Forget
from tests.support.coordination_model import Stage, shared, stage_with


@pytest.fixture
def stage() -> Stage:
    return stage_with("a", "b")


def publish(number: int, override: bool = False, **datasets: c.Shared) -> c.Publish:
    return c.Publish(number, datasets, override)


def names(stage: Stage) -> list[str]:
    [reply] = stage.ask("b", c.ListDatasets(99))
    return list(reply.value)


def kept(stage: Stage) -> set[str]:
    return stage.core.coordination.kept.keys


def test_what_was_published_stays_with_its_results_whoever_goes(stage: Stage) -> None:
    assert stage.ask("a", publish(1, x=shared("1", "k"), y=shared("2"))) == [c.Replied(1, [])]
    stage.leave("a")
    assert names(stage) == ["x", "y"]
    assert kept(stage) == {"k"}
    assert stage.ask("b", c.GetDatasets(1, ["y", "gone", "x"])) == [
        c.HandedOver(1, [shared("2").payload, None, shared("1").payload])
    ]


def test_if_one_name_is_taken_nothing_is_published(stage: Stage) -> None:
    stage.ask("a", publish(1, x=shared("1")))
    assert stage.ask("a", publish(2, w=shared("0"), x=shared("2"))) == [c.Replied(2, ["x"])]
    assert names(stage) == ["x"]


def test_to_override_lets_go_of_what_was_there(stage: Stage) -> None:
    stage.ask("a", publish(1, x=shared("1", "old", "both")))
    assert stage.ask("a", publish(2, True, x=shared("2", "new", "both"))) == [c.Replied(2, [])]
    assert kept(stage) == {"new", "both"}


def test_what_is_on_its_way_is_kept_until_it_was_received(stage: Stage) -> None:
    stage.ask("a", publish(1, x=shared("1", "k")))
    stage.ask("b", c.GetDatasets(1, ["x"]))
    assert stage.ask("a", c.Unpublish(2, ["x", "gone"])) == [c.Replied(2, True)]
    assert (names(stage), kept(stage)) == ([], {"k"})
    stage.ask("b", c.Received(1))
    assert kept(stage) == set()


def test_a_restart_unpublishes_what_is_made_of_tasks(stage: Stage) -> None:
    stage.ask("a", publish(1, plain=shared("1"), made=shared("2", "k")))
    stage.handle(Forget("restarted", "It was restarted."))
    stage.hear("b")
    assert (names(stage), kept(stage)) == (["plain"], set())
