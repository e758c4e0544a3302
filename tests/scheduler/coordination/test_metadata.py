"""Metadata: a tree of values by path."""

from __future__ import annotations

from typing import Any

import pytest

from nbcluster.protocol import coordination as c
from nbcluster.protocol.messages import CallFailed
from nbcluster.protocol.payload import Payload
from tests.support.coordination_model import Stage, stage_with

ONE, TWO = Payload(b"1"), Payload(b"2")


@pytest.fixture
def stage() -> Stage:
    return stage_with("a")


def put(stage: Stage, path: str, **leaves: Payload | None) -> Any:
    """Put leaves below a place; names are separated by dots."""
    items = [c.Leaf([part for part in name.split("__") if part], value) for name, value in leaves.items()]
    return stage.ask("a", c.SetMetadata(1, path.split(".") if path else [], items))


def at(stage: Stage, path: str) -> dict[str, Payload | None] | None:
    [found] = stage.ask("a", c.GetMetadata(2, path.split(".") if path else []))
    return None if found.leaves is None else {".".join(leaf.path): leaf.value for leaf in found.leaves}


def test_what_was_put_is_found_at_its_place_and_from_above(stage: Stage) -> None:
    assert put(stage, "x", a=ONE, b__c=TWO) == [c.Replied(1, True)]
    assert at(stage, "x") == {"a": ONE, "b.c": TWO}
    assert at(stage, "x.b") == {"c": TWO}
    assert at(stage, "x.b.c") == {"": TWO}
    assert at(stage, "") == {"x.a": ONE, "x.b.c": TWO}


def test_what_is_not_there_is_not_found(stage: Stage) -> None:
    put(stage, "x", a=ONE)
    assert at(stage, "y") is None
    assert at(stage, "x.a.b") is None


def test_a_new_value_replaces_all_that_was_at_its_place(stage: Stage) -> None:
    put(stage, "x", a=ONE, b=ONE)
    put(stage, "x", c=TWO)
    assert at(stage, "x") == {"c": TWO}


def test_a_value_on_the_way_gives_way_to_a_branch(stage: Stage) -> None:
    put(stage, "x", a=ONE)
    put(stage, "x.a", b=TWO)
    assert at(stage, "x") == {"a.b": TWO}


def test_an_empty_branch_is_there_all_the_same(stage: Stage) -> None:
    put(stage, "x", a=None)
    assert at(stage, "x.a") == {"": None}


def test_the_root_cannot_be_replaced(stage: Stage) -> None:
    assert put(stage, "", a=ONE) == [CallFailed(1, "ValueError", "the path of metadata must not be empty")]
