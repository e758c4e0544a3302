"""What is read out of dask's graphs: tasks, their order, and what each of them calls."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import pytest
from dask._task_spec import Alias, DataNode, Dict, GraphNode, List, Set, Task, Tuple
from dask._task_spec import TaskRef as Ref

from nbcluster.client.graph import Graph
from nbcluster.protocol.fused import Fused, call, identity
from nbcluster.protocol.serialize import TaskRef


def read(dsk: Any, *keys: Any, known: Callable[[str], bool] = lambda _: False) -> Graph:
    return Graph(dsk, keys, known)


def run(graph: Graph) -> dict[str, Any]:
    """Do all calls, here and in order. Returns the results by the tasks' names."""
    results: dict[str, Any] = {}

    def filled(value: Any) -> Any:
        if isinstance(value, TaskRef):
            return results[value.key]
        if type(value) in (list, tuple, set):
            return type(value)(filled(one) for one in value)
        if type(value) is dict:
            return {filled(key): filled(one) for key, one in value.items()}
        return value

    for key in graph.order:
        function, args, kwargs = graph.call(key)
        results[graph.text(key)] = function(*filled(args), **filled(dict(kwargs)))
    return results


def answer(dsk: Any, key: Any) -> Any:
    graph = read(dsk, key)
    return run(graph)[graph.homes[key]]


# --- kinds of graphs ---


def test_tuples_are_calls_and_text_that_is_a_key_refers_to_it() -> None:
    assert answer({"a": 1, "b": (operator.add, "a", 10), ("c", 0): (sum, ["a", "b"])}, ("c", 0)) == 12


def test_calls_inside_of_calls_are_part_of_one_task() -> None:
    graph = read({"a": 1, "b": (operator.add, (operator.mul, "a", 3), 10)}, "b")
    assert graph.order == ["a", "b"]
    assert run(graph)["b"] == 13


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        (Ref("a"), 1),
        (Alias("a"), 1),
        (DataNode(None, 7), 7),
        (List(Ref("a"), 2), [1, 2]),
        (Tuple(Ref("a"), 2), (1, 2)),
        (Set(Ref("a"), 2), {1, 2}),
        (Dict({"k": Ref("a"), "l": 5}), {"k": 1, "l": 5}),
        (List(List(Ref("a")), Task(None, operator.neg, Ref("a"))), [[1], -1]),
        (Task(None, operator.add, Task(None, operator.neg, Ref("a")), 5), 4),
        ([Ref("a")], [Ref("a")]),
    ],
)
def test_arguments_may_be_nodes_and_anything_else_is_left_alone(argument: Any, value: Any) -> None:
    assert answer({"a": DataNode("a", 1), "b": Task("b", identity, argument)}, "b") == value


def test_lists_within_lists_of_keys_are_plain_arguments() -> None:
    """So reductions of arrays need no function of their own for each task."""
    graph = read({"a": 1, "b": 2, "c": (len, [["a", "b"], ("b", [3])])}, "c")
    a, b = TaskRef("a"), TaskRef("b")
    assert graph.call("c") == (len, ([[a, b], (b, [3])],), {})


def test_lists_of_calls_are_part_of_one_task() -> None:
    graph = read({"a": 1, "c": (sum, ["a", (operator.neg, "a"), 5])}, "c")
    assert graph.call("c").function is call
    assert run(graph)["c"] == 5


def test_keyword_arguments_may_be_nodes_too() -> None:
    dsk = {"a": DataNode("a", 16), "b": Task("b", int, "ff", base=Ref("a"))}
    assert answer(dsk, "b") == 255
    nested = {"a": DataNode("a", 8), "b": Task("b", int, "ff", base=Task(None, operator.mul, Ref("a"), 2))}
    assert answer(nested, "b") == 255


class Doubling(GraphNode):  # type: ignore[misc]
    """A kind of node that only its author knows."""

    __slots__ = ("_dependencies", "key")

    def __init__(self, key: str, of: str) -> None:
        self.key = key
        self._dependencies = frozenset([of])

    def __call__(self, values: Any = ()) -> Any:
        [of] = self.dependencies
        return 2 * values[of]


def test_nodes_of_kinds_that_nobody_knows_compute_themselves() -> None:
    assert answer({"a": DataNode("a", 4), "b": Doubling("b", "a")}, "b") == 8
    inner = {"a": DataNode("a", 4), "b": Task("b", operator.add, Doubling("c", "a"), 1)}
    assert answer(inner, "b") == 9


def test_layers_and_their_annotations_are_read() -> None:
    with dask.annotate(priority=3, retries=lambda key: key[1]):
        array = da.ones(4, chunks=2)
    graph = read(array.__dask_graph__(), *array.__dask_keys__())
    assert len(graph.order) == 2
    assert set(graph.annotations["priority"].values()) == {3}
    assert sorted(graph.annotations["retries"].values()) == [0, 1]


# --- aliases ---


def test_an_alias_has_no_task_of_its_own() -> None:
    graph = read({"a": DataNode("a", 1), "b": Alias("b", "a"), "c": Alias("c", "b"), "d": (abs, "c")}, "c", "d")
    assert graph.order == ["a", "d"]
    assert graph.homes == {"c": "a", "d": "d"}
    assert run(graph)["d"] == 1


def test_an_alias_of_a_future_is_that_futures_key() -> None:
    graph = read({("x", 0): Alias(("x", 0), "('x', 0)"), "y": (abs, ("x", 0))}, ("x", 0), "y", known=lambda _: True)
    assert graph.homes == {("x", 0): "('x', 0)", "y": "y"}
    assert graph.call("y").args == (TaskRef("('x', 0)"),)


# --- order, and what is left out ---


def test_what_nobody_asked_for_is_left_out() -> None:
    graph = read({"a": 1, "b": (abs, "a"), "c": (abs, "b"), "other": (abs, "a")}, "b")
    assert graph.order == ["a", "b"]


def test_every_task_comes_after_those_that_it_needs() -> None:
    array = da.ones((40, 40), chunks=(5, 5))
    total = (array + array.T).sum()
    graph = read(total.__dask_graph__(), *total.__dask_keys__())
    place = {key: number for number, key in enumerate(graph.order)}
    assert all(place[needed] < place[key] for key in graph.order for needed in graph.needs(key))


def test_branches_are_finished_one_after_the_other() -> None:
    """Dask's order: what is computed last is used first, so that little has to be kept."""
    dsk: dict[Any, Any] = {}
    for branch in range(5):
        dsk["load", branch] = Task(("load", branch), identity, branch)
        dsk["reduce", branch] = Task(("reduce", branch), abs, Ref(("load", branch)))
    dsk["all"] = Task("all", max, *[Ref(("reduce", branch)) for branch in range(5)])
    order = read(dsk, "all").order
    assert all(order.index(("reduce", n)) == order.index(("load", n)) + 1 for n in range(5))


# --- fused tasks ---


def fused(key: str, needed: str) -> Any:
    """What dask makes of two tasks that follow each other: ``(needed + 1) * 10``."""
    start = Task(("in", key), operator.add, Ref(needed), 1)
    return Task.fuse(start, Task(key, operator.mul, Ref(("in", key)), 10))


def with_inner(inner: dict[str, Any]) -> dict[str, Any]:
    """A graph of one task that contains another graph, from ``x`` to ``out``; ``a`` is its input."""
    node = Task("b", fused("b", "a").func, inner, "out", ("x",), Ref("a"))
    return {"a": DataNode("a", 1), "b": node}


def test_fused_tasks_are_the_steps_of_one_call() -> None:
    graph = read({"a": DataNode("a", 2), "b": fused("b", "a")}, "b")
    assert graph.order == ["a", "b"]
    assert run(graph)["b"] == 30
    function, args, _ = graph.call("b")
    assert function is call
    assert isinstance(args[0], Fused)


def test_tasks_that_share_their_inner_graph_share_one_function() -> None:
    one = fused("b", "a")
    other = Task("c", one.func, *one.args)
    graph = read({"a": DataNode("a", 2), "b": one, "c": other}, "b", "c")
    assert isinstance(graph.call("b").function, Fused)
    assert graph.call("b").function is graph.call("c").function
    assert run(graph) == {"a": 2, "b": 30, "c": 30}


def test_inner_nodes_may_be_of_any_kind() -> None:
    inner = {
        "sum": Task("sum", sum, List(Ref("x"), Ref("y"), Alias("data"))),
        "data": DataNode("data", 100),
        "y": Alias("y", "x"),
        "out": Task("out", operator.add, Ref("sum"), Task(None, operator.neg, Ref("two"))),
        "two": Doubling("two", "data"),
    }
    assert answer(with_inner(inner), "b") == 102 - 200


@pytest.mark.parametrize("inner", [{"out": DataNode("out", 1)}, {"out": Alias("out", "x")}])
def test_an_inner_graph_may_do_nothing(inner: dict[str, Any]) -> None:
    assert answer(with_inner(inner), "b") == 1


# --- what is wrong ---


@pytest.mark.parametrize("dsk", [5, None, "text", [("a", 1)], object()])
def test_what_is_no_graph_is_refused(dsk: Any) -> None:
    with pytest.raises(TypeError, match="is not a graph of dask's"):
        read(dsk, "a")


def test_a_dask_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("dask._task_spec._is_dask_future")
    with pytest.raises(ImportError, match=r"dask \d.* install 2026.1.2 or later"):
        read({"a": 1}, "a")


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="'b' was asked for, but is not in the graph"):
        read({"a": 1}, "b")


def test_a_dependency_that_is_not_there_is_named_with_who_needs_it() -> None:
    for node in (Task("a", abs, Ref("gone")), Alias("a", "gone")):
        with pytest.raises(ValueError, match="the task 'a' needs 'gone', but it is not in the graph, and this client"):
            read({"a": node, "b": (abs, "a")}, "b")


@pytest.mark.parametrize(
    "dsk",
    [
        {"a": (abs, "b"), "b": (abs, "a")},
        {"a": (abs, "a")},
        {"a": Alias("a", "b"), "b": Alias("b", "a")},
        {"c": (abs, "a"), "a": Task("a", abs, Ref("b")), "b": Alias("b", "a")},
    ],
)
def test_tasks_that_need_each_other_are_named(dsk: Any) -> None:
    with pytest.raises(RuntimeError, match="Cycle detected"):
        run(read(dsk, "a"))
