from __future__ import annotations

from collections import namedtuple
from typing import Any

import pytest

from nbcluster.client.future import Future
from nbcluster.client.gathering import find_futures, replace_futures
from nbcluster.client.states import FutureState


def future(key: str) -> Future:
    return Future._of(FutureState(key), None)  # type: ignore[arg-type]


A, B, C = future("a"), future("b"), future("c")
VALUES = {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (A, [A]),
        ([A, B], [A, B]),
        ((B, A), [B, A]),
        ({"x": A, "y": [B, (C,)]}, [A, B, C]),
        ([[[[A]]]], [A]),
        ([A, [A], {"x": A}], [A]),
        ([], []),
        ("abc", []),
        (5, []),
        ([1, "a", None], []),
    ],
)
def test_futures_are_found_in_containers_each_once(value: Any, found: list[Future]) -> None:
    assert find_futures(value) == found


def test_two_futures_of_one_key_are_one() -> None:
    assert find_futures([A, future("a")]) == [A]


def test_sets_are_searched_too() -> None:
    assert set(find_futures({A, B})) == {A, B}
    assert set(find_futures(frozenset([A, B]))) == {A, B}


@pytest.mark.parametrize(
    ("value", "replaced"),
    [
        (A, 1),
        ([A, B, A], [1, 2, 1]),
        ((A, (B,)), (1, (2,))),
        ({"x": A, "y": [B]}, {"x": 1, "y": [2]}),
        ({A, B}, {1, 2}),
        (frozenset([C]), frozenset([3])),
        ([1, A, "text"], [1, 1, "text"]),
        ([], []),
    ],
)
def test_values_take_the_place_of_futures(value: Any, replaced: Any) -> None:
    result = replace_futures(value, VALUES)
    assert result == replaced
    assert type(result) is type(replaced)


def test_what_has_no_value_is_left_out_of_lists() -> None:
    assert replace_futures([A, B, C], {"a": 1}) == [1]
    assert replace_futures([[B], [A]], {"a": 1}) == [[None], [1]]
    assert replace_futures({"x": A, "y": B}, {"a": 1}) == {"x": 1, "y": None}


def test_other_containers_are_left_alone() -> None:
    Point = namedtuple("Point", "x y")
    point = Point(1, 2)
    assert replace_futures([point], {}) == [point]
    assert type(replace_futures([point], {})[0]) is Point
