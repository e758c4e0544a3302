"""A function that travels by value is pickled again only if its pickle would be another."""

from __future__ import annotations

import gc
import math
import sys
import textwrap
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import cloudpickle  # type: ignore[import-untyped]
import pytest

from nbcluster.protocol import kept_functions, serialize
from nbcluster.protocol.serialize import dump_function, load_function

PLAIN = """
def function(x, y=2):
    "Says something."
    return x * y + scale + len(name)
"""
AS_BEFORE = {"scale": 3, "name": "four", "math": math}


class Notebook:
    """A namespace like that of ``__main__``, in which cells are run."""

    def __init__(self, cell: str = PLAIN, **variables: object) -> None:
        self.variables: dict[str, Any] = {"__name__": "__main__", **AS_BEFORE, **variables}
        self.run(cell)

    def run(self, cell: str) -> None:
        exec(compile(cell, "a cell", "exec", dont_inherit=True), self.variables)

    @property
    def function(self) -> Callable[..., Any]:
        function: Callable[..., Any] = self.variables["function"]
        return function


@pytest.fixture
def pickled() -> Iterator[mock.Mock]:
    """Counts how often a function was pickled."""
    with mock.patch.object(serialize, "_dumps", side_effect=serialize._dumps) as dumps:
        yield dumps


def test_a_function_that_is_as_it_was_is_pickled_once(pickled: mock.Mock) -> None:
    notebook = Notebook()
    first = dump_function(notebook.function)
    assert dump_function(notebook.function) == first
    assert pickled.call_count == 1
    assert load_function(first[1])(5) == 5 * 2 + 3 + 4


PLAIN_CELLS = {
    "refers to modules": "def function(x): return math.sin(x)",
    "refers to C functions of modules": "from math import cos\ndef function(x): return cos(x)",
    "refers to classes of modules": "from pathlib import Path\ndef function(x): return Path(x)",
    "refers to functions of modules": "from textwrap import dedent\ndef function(x): return dedent(x)",
    "calls itself": "def function(x): return x and function(x - 1)",
    "is a lambda": "function = lambda x: x + scale",
    "has functions within": "def function(x): return [y * scale for y in (lambda z: [z])(x)]",
    "has an attribute's name in common with a list": "model = [1]\ndef function(x): return x.model",
    "refers to what does not exist": "def function(x): return no_such_thing",
}


@pytest.mark.parametrize("cell", PLAIN_CELLS.values(), ids=PLAIN_CELLS)
def test_so_is_one_that(cell: str, pickled: mock.Mock) -> None:
    function = Notebook(cell).function
    assert dump_function(function) == dump_function(function)
    assert pickled.call_count == 1


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="annotations are made when they are looked at")
def test_so_is_one_that_has_annotations(pickled: mock.Mock) -> None:
    function = Notebook("def function(x: int, y: 'float' = 1.0) -> None: return None").function
    assert dump_function(function) == dump_function(function)
    assert pickled.call_count == 1


def test_a_lambda_in_a_loop_is_pickled_once(pickled: mock.Mock) -> None:
    notebook = Notebook("functions = [lambda x: x + scale for _ in range(5)]")
    assert len({dump_function(function) for function in notebook.variables["functions"]}) == 1
    assert pickled.call_count == 1


CHANGES: dict[str, Callable[[Notebook], object]] = {
    "a global": lambda notebook: notebook.run("scale = 4"),
    "a global that is equal": lambda notebook: notebook.run("scale = 3.0"),
    "a global that is gone": lambda notebook: notebook.run("del scale"),
    "a global that was not there": lambda notebook: notebook.run("len = str"),
    "a global that may change in place": lambda notebook: notebook.run("name = [1, 2]"),
    "a default": lambda notebook: notebook.run("function.__defaults__ = (7,)"),
    "a default that is equal": lambda notebook: notebook.run("function.__defaults__ = (2.0,)"),
    "defaults that are gone": lambda notebook: notebook.run("function.__defaults__ = None"),
    "keyword defaults": lambda notebook: notebook.run("function.__kwdefaults__ = {'y': 3}"),
    "an attribute": lambda notebook: notebook.run("function.unit = 'm'"),
    "an annotation": lambda notebook: notebook.run("function.__annotations__['x'] = int"),
    "its code": lambda notebook: notebook.run("function.__code__ = (lambda x, y: x).__code__"),
    "its text": lambda notebook: notebook.run(PLAIN.replace("+", "-")),
    "its documentation": lambda notebook: notebook.run("function.__doc__ = 'Says nothing.'"),
    "its name": lambda notebook: notebook.run("function.__name__ = 'method'"),
    "its qualified name": lambda notebook: notebook.run("function.__qualname__ = 'Class.function'"),
    "its module": lambda notebook: notebook.run("function.__module__ = None"),
    "the file it is in": lambda notebook: notebook.run("__file__ = 'notebook.py'"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_is_pickled_again_after_a_change_of(change: Callable[[Notebook], object], pickled: mock.Mock) -> None:
    notebook = Notebook()
    dump_function(notebook.function)
    change(notebook)
    found = dump_function(notebook.function)
    assert pickled.call_count == 2
    assert found[1].data == serialize._dumps(notebook.function, [])


def test_what_is_otherwise_only_while_it_is_pickled_is_not_kept(pickled: mock.Mock) -> None:
    notebook = Notebook(scale=1)

    def dump_otherwise(*args: Any) -> Any:
        notebook.run("scale = 2")
        return dump(*args)

    dump = pickled.side_effect
    with mock.patch.object(serialize, "_dumps", dump_otherwise):
        dump_function(notebook.function)
    notebook.run("scale = 1")
    assert load_function(dump_function(notebook.function)[1])(0) == 1 + 4


def test_it_is_pickled_again_after_a_module_of_its_package_was_imported() -> None:
    with mock.patch.dict(sys.modules):
        gone = ("wsgiref.headers", "wsgiref.util", "wsgiref")
        for name in gone:
            sys.modules.pop(name, None)
        notebook = Notebook("import wsgiref\ndef function(x): return wsgiref.util.guess_scheme(x)")
        before, count = dump_function(notebook.function), len(sys.modules)
        notebook.run("import wsgiref.util")
        while len(sys.modules) > count:  # as many as before
            sys.modules.pop(next(name for name in sys.modules if name.startswith("tests.")))
        after = dump_function(notebook.function)
    assert b"wsgiref.util" not in before[1].data
    assert b"wsgiref.util" in after[1].data


def test_what_changes_while_it_is_pickled_is_seen_the_next_time() -> None:
    notebook = Notebook()

    def dump_and_change(*args: Any) -> bytes:
        data = dump(*args)
        notebook.run("scale = 10")
        return data

    dump = serialize._dumps
    with mock.patch.object(serialize, "_dumps", dump_and_change):
        before = dump_function(notebook.function)
    after = dump_function(notebook.function)
    assert load_function(before[1])(0) == 3 + 4
    assert load_function(after[1])(0) == 10 + 4


CHANGEABLE = {
    "has a closure": "def outer(y):\n    return lambda x: x + y\nfunction = outer(1)",
    "refers to a list": "data = []\ndef function(x): return data",
    "refers to another function": "def other(x): return x\ndef function(x): return other(x)",
    "refers to a class": "class Some: pass\ndef function(x): return Some()",
    "has a list as a default": "def function(x, some=[]): return some",
    "has an annotation that seems built in": "class A: __module__ = 'builtins'\ndef function(x: A): return x",
    "has an annotation that is a list": "def function(x: [1]): return x",
    "has documentation that is a list": "def function(x): return x\nfunction.__doc__ = []",
    "has an annotation that is a class": "class Some: pass\ndef function(x: Some): return x",
    "refers to a list in a function within": "data = []\ndef function(x): return [lambda: data for _ in x]",
}


@pytest.mark.parametrize("cell", CHANGEABLE.values(), ids=CHANGEABLE)
def test_one_is_pickled_each_time_that(cell: str, pickled: mock.Mock) -> None:
    notebook = Notebook(cell)
    dump_function(notebook.function)
    dump_function(notebook.function)
    assert pickled.call_count == 2


def test_what_changes_in_place_is_seen() -> None:
    notebook = Notebook("data = [1]\ndef function(): return data")
    before = dump_function(notebook.function)
    notebook.run("data.append(2)")
    after = dump_function(notebook.function)
    assert before[0] != after[0]
    assert load_function(after[1])() == [1, 2]


def test_a_module_that_was_made_here_is_pickled_each_time(pickled: mock.Mock) -> None:
    module = types.ModuleType("made_here")
    module.value = 1  # type: ignore[attr-defined]
    notebook = Notebook("def function(): return module.value", module=module)
    dump_function(notebook.function)
    module.value = 2  # type: ignore[attr-defined]
    assert load_function(dump_function(notebook.function)[1])() == 2


def test_a_module_that_is_to_travel_by_value_is_heeded(pickled: mock.Mock) -> None:
    notebook = Notebook("def function(x): return math.sin(x)")
    dump_function(notebook.function)
    with mock.patch.object(cloudpickle, "list_registry_pickle_by_value", return_value={"math"}):
        dump_function(notebook.function)
    assert pickled.call_count == 2


def test_what_it_does_not_refer_to_and_what_is_strange_is_not_asked() -> None:
    class Strange(type):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(cls, other: object) -> bool:
            raise AssertionError("nobody is to ask")

    class Thing(metaclass=Strange):
        @property  # type: ignore[misc]
        def __class__(self) -> type:
            raise AssertionError("nobody is to ask")

    assert kept_functions.look_at(Notebook("def function(x): return x.thing", thing=Thing()).function) is not None
    assert kept_functions.look_at(Notebook("def function(x): return thing", thing=Thing()).function) is None


def test_what_its_module_does_not_offer_any_more_is_sent_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = Notebook("from textwrap import dedent\ndef function(x): return dedent(x)")
    before = dump_function(notebook.function)
    monkeypatch.setattr(textwrap, "dedent", str.upper)
    after = dump_function(notebook.function)
    assert len(after[1].data) > len(before[1].data)
    assert load_function(after[1])("  as it was") == "as it was"


def test_nothing_is_kept_longer_than_the_function() -> None:
    class Large:
        pass

    module = types.ModuleType("a_notebook_of_its_own")
    vars(module).update(large=Large())
    with mock.patch.dict(sys.modules, {module.__name__: module}):
        maker = "def make():\n    def inner(x): return helper(x)\n    return inner\nfunction = make()"
        cell = "def helper(x): return x\n" + maker
        exec(compile(cell, "a cell", "exec", dont_inherit=True), vars(module))
        dump_function(module.function)
        address, large = id(module.function.__code__), weakref.ref(module.large)
        assert address in kept_functions._kept
    del module
    gc.collect()
    assert large() is None
    assert address not in kept_functions._kept


def test_large_pickles_are_not_kept(pickled: mock.Mock) -> None:
    notebook = Notebook("def function(): return data", data=bytes(100_000))
    dump_function(notebook.function)
    dump_function(notebook.function)
    assert pickled.call_count == 2


def test_other_things_than_functions_are_not_looked_at() -> None:
    for other in (len, int, "text".join, mock.Mock()):
        assert kept_functions.look_at(other) is None
