"""Futures inside of a small graph: lifted out of it, to be among what it is given.

A small graph, or a node inside of a node, goes to the worker as part of a function. Only in a task's arguments are
futures replaced by results, so there they have to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbcluster.client.future import Future
from nbcluster.client.gathering import find_futures

_CONTAINERS = (list, tuple, dict, set, frozenset)

Lifted = dict[Any, Any]
"""What was taken out, by the key that stands for it."""


class Lifter:
    """Puts references in place of what has futures in it.

    Args:
        spec: dask's module of nodes.
    """

    def __init__(self, spec: Any) -> None:
        self._spec = spec
        self._checked: dict[int, bool] = {}
        """By the id of a small graph: many tasks share one."""
        self._done: dict[int, tuple[dict[Any, Any], Lifted]] = {}

    def has_futures(self, nodes: Mapping[Any, Any]) -> bool:
        """True if there are futures anywhere in a small graph."""
        known = self._checked.get(id(nodes))
        if known is None:
            known = self._checked[id(nodes)] = any(map(self._has_futures, nodes.values()))
        return known

    def lift(self, nodes: Mapping[Any, Any]) -> tuple[dict[Any, Any], Lifted]:
        """The same small graph without futures, and what was taken out of it."""
        done = self._done.get(id(nodes))
        if done is None:
            lifted: Lifted = {}
            done = self._done[id(nodes)] = {key: self._node(node, lifted) for key, node in nodes.items()}, lifted
        return done

    def _has_futures(self, value: Any) -> bool:
        kind, spec = type(value), self._spec
        if kind is Future:
            return True
        if kind in _CONTAINERS:
            return bool(find_futures(value))
        if kind is spec.DataNode:
            return self._has_futures(value.value)
        if not isinstance(value, spec.Task):
            return False
        if value.has_subgraph():
            return any(map(self._has_futures, (*value.args[0].values(), *value.args[3:])))
        return any(map(self._has_futures, (*value.args, *value.kwargs.values())))

    def lift_node(self, node: Any) -> tuple[Any, Lifted]:
        """The same for a single node."""
        lifted: Lifted = {}
        return self._node(node, lifted), lifted

    def _node(self, node: Any, lifted: Lifted) -> Any:
        spec = self._spec
        if not self._has_futures(node):
            return node
        if type(node) is spec.DataNode:
            return spec.Alias(node.key, self._out(node.value, lifted))
        if node.has_subgraph():
            return self._nested(node, lifted)
        args = [self._argument(one, lifted) for one in node.args]
        kwargs = {name: self._argument(one, lifted) for name, one in node.kwargs.items()}
        return spec.Task(node.key, node.func, *args, **kwargs)

    def _nested(self, node: Any, lifted: Lifted) -> Any:
        inner, outcome, inputs, *given = node.args
        below: Lifted = {}
        nodes = {key: self._node(one, below) for key, one in inner.items()}
        lifted.update(below)
        given = [self._argument(one, lifted) for one in given] + [self._spec.TaskRef(key) for key in below]
        return self._spec.Task(node.key, node.func, nodes, outcome, (*inputs, *below), *given)

    def _argument(self, value: Any, lifted: Lifted) -> Any:
        if not self._has_futures(value):
            return value
        if isinstance(value, self._spec.GraphNode):
            return self._node(value, lifted)
        return self._spec.TaskRef(self._out(value, lifted))

    def _out(self, value: Any, lifted: Lifted) -> Any:
        key = value.key if type(value) is Future else ("lifted", id(value))
        lifted[key] = value
        return key
