"""Several calls as one."""

from __future__ import annotations

import operator
import pickle
import weakref
from typing import Any

import pytest

from nbcluster.protocol import fused
from nbcluster.protocol.fused import Fused, Step


def step(function: Any, *args: Any, slots: Any = (), kwargs: Any = None, kwslots: Any = (), dead: Any = ()) -> Step:
    return Step(function, args, tuple(slots), kwargs or {}, tuple(kwslots), tuple(dead))


def test_each_step_takes_inputs_and_results_of_those_before_it() -> None:
    add = step(operator.add, None, None, slots=[(0, 0), (1, 1)])
    scale = step(operator.mul, None, 10, slots=[(0, 2)])
    assert Fused((add, scale))(1, 2) == 30


def test_values_may_be_keyword_arguments() -> None:
    whole = Fused((step(int, None, slots=[(0, 0)], kwslots=[("base", 1)]),))
    assert whole("ff", 16) == 255
    assert whole("11", 2) == 3


def test_it_survives_pickling() -> None:
    whole = Fused((step(operator.add, None, 5, slots=[(0, 0)]), step(pow, None, 2, slots=[(0, 1)])))
    copy = pickle.loads(pickle.dumps(whole))
    assert copy(1) == 36
    assert repr(copy) == "<Fused add, pow>"


class Large:
    pass


def test_what_no_later_step_needs_is_let_go_of_at_once() -> None:
    alive: list[weakref.ref[Large]] = []

    def make() -> Large:
        large = Large()
        alive.append(weakref.ref(large))
        return large

    def look(_: Large) -> int:
        return sum(ref() is not None for ref in alive)

    steps = (
        step(make),
        step(look, None, slots=[(0, 0)], dead=[0]),
        step(make),
        step(look, None, slots=[(0, 2)], dead=[2]),
    )
    assert Fused(steps)() == 1


def test_errors_pass_through() -> None:
    with pytest.raises(ZeroDivisionError):
        Fused((step(operator.truediv, 1, None, slots=[(1, 0)]),))(0)


def test_values_become_containers() -> None:
    assert fused.make_list(1, 2) == [1, 2]
    assert fused.make_tuple(1, 2) == (1, 2)
    assert fused.make_set(1, 2, 2) == {1, 2}
    assert fused.make_dict("a", 1, "b", 2) == {"a": 1, "b": 2}
    assert fused.identity("a") == "a"
    assert fused.call(max, 1, 2) == 2
    assert fused.call_node(lambda values: values["a"] + values["b"], ("a", "b"), 1, 2) == 3
