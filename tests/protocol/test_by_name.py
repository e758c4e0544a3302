from __future__ import annotations

import math
import pickle
import random
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nbcluster.protocol.serialize import dump, dump_call, dump_function, load, load_call, load_function


@pytest.mark.parametrize("function", [random.random, random.uniform, np.random.rand, np.random.normal])
def test_functions_of_modules_travel_without_the_state_behind_them(function: Callable[..., Any]) -> None:
    payload = dump_function(function)[1]
    assert len(payload.data) < 200
    assert load_function(payload) == function
    arguments = dump_call((function,), {})
    assert load_call(arguments.data, arguments.frames, {})[0] == (function,)


def test_so_do_those_that_a_function_of_main_refers_to(monkeypatch: pytest.MonkeyPatch) -> None:
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec("from random import random\ndef draw(): return random()", main.__dict__)
    payload = dump_function(main.draw)[1]
    random.seed(1)
    expected = random.random()
    random.seed(1)
    assert load_function(payload)() == expected


def test_other_methods_take_their_object_along() -> None:
    own = random.Random(1)
    generator = np.random.default_rng(2)
    methods: list[Any] = [own.random, own.uniform, generator.normal]
    for method in methods:
        args = (0, 1) if method == own.uniform else ()
        again = load(dump(method))
        assert again.__self__ is not method.__self__
        assert again(*args) == pickle.loads(pickle.dumps(method))(*args)
    sine, join = load(dump([math.sin, "-".join]))
    assert (sine, join(["a", "b"])) == (math.sin, "a-b")
