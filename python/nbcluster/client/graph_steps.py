"""Nodes inside of nodes, and nodes that were fused, as steps of one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nbcluster.protocol.fused import Fused, Step, call_node, identity, make_dict, make_list, make_set, make_tuple


class _Slot:
    """Stands for a value that will be there when the step runs."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class Compiler:
    """Turns a small graph with one outcome into a ``Fused``.

    Args:
        spec: dask's module of nodes.
    """

    def __init__(self, spec: Any) -> None:
        self._spec = spec
        self._makers: dict[type, Callable[..., Any]] = {
            spec.List: make_list,
            spec.Tuple: make_tuple,
            spec.Set: make_set,
            spec.Dict: make_dict,
        }

    def compile(self, nodes: Mapping[Any, Any], outcome: Any, inputs: Iterable[Any]) -> Fused:
        """Settle in which order what is called.

        Args:
            nodes: the small graph.
            outcome: the key of the result.
            inputs: the keys of what it is given, in order.
        """
        return _Program(self._spec, self._makers, nodes, tuple(inputs)).fused(outcome)


class _Program:
    def __init__(
        self, spec: Any, makers: Mapping[type, Callable[..., Any]], nodes: Mapping[Any, Any], inputs: tuple[Any, ...]
    ) -> None:
        self._spec = spec
        self._makers = makers
        self._nodes = nodes
        self._known: dict[Any, Any] = {key: _Slot(number) for number, key in enumerate(inputs)}
        """Slots, and values that need no step, by key."""
        self._n_inputs = len(inputs)
        self._steps: list[tuple[Callable[..., Any], list[Any], dict[str, Any]]] = []

    def fused(self, outcome: Any) -> Fused:
        result = self._value_of(outcome)
        last = self._n_inputs + len(self._steps) - 1
        if not (isinstance(result, _Slot) and self._steps and result.number == last):
            self._add(identity, [result], {})
        return Fused(tuple(self._finished()))

    def _finished(self) -> list[Step]:
        first = self._n_inputs
        last_use = {}
        for number, (_, args, kwargs) in enumerate(self._steps):
            for value in (*args, *kwargs.values()):
                if isinstance(value, _Slot) and value.number >= first:
                    last_use[value.number] = number
        dead: dict[int, list[int]] = {}
        for slot, number in last_use.items():
            dead.setdefault(number, []).append(slot)
        return [
            Step(
                function,
                tuple(None if isinstance(value, _Slot) else value for value in args),
                tuple((i, value.number) for i, value in enumerate(args) if isinstance(value, _Slot)),
                {name: value for name, value in kwargs.items() if not isinstance(value, _Slot)},
                tuple((name, value.number) for name, value in kwargs.items() if isinstance(value, _Slot)),
                tuple(dead.get(number, ())),
            )
            for number, (function, args, kwargs) in enumerate(self._steps)
        ]

    def _value_of(self, key: Any) -> Any:
        """What a key stands for: a slot or a value. Chains may be long, so this does not recurse along them."""
        known, nodes = self._known, self._nodes
        stack = [key]
        while stack:
            key = stack[-1]
            if key in known:
                stack.pop()
                continue
            missing = [one for one in nodes[key].dependencies if one not in known]
            if missing:
                stack += missing
            else:
                known[stack.pop()] = self._of_node(nodes[key])
        return known[key]

    def _of_node(self, node: Any) -> Any:
        spec = self._spec
        kind = type(node)
        if kind is spec.DataNode:
            return node.value
        if kind is spec.Alias:
            return self._known[node.target]
        if kind is spec.Task:
            kwargs = {name: self._argument(value) for name, value in node.kwargs.items()}
            return self._add(node.func, [self._argument(value) for value in node.args], kwargs)
        maker = self._makers.get(kind)
        if maker is not None:
            return self._add(maker, [self._argument(value) for value in node.args], {})
        keys = tuple(node.dependencies)
        return self._add(call_node, [node, keys, *[self._known[key] for key in keys]], {})

    def _argument(self, value: Any) -> Any:
        if isinstance(value, self._spec.TaskRef):
            return self._known[value.key]
        if isinstance(value, self._spec.GraphNode):
            return self._of_node(value)
        return value

    def _add(self, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> _Slot:
        self._steps.append((function, args, kwargs))
        return _Slot(self._n_inputs + len(self._steps) - 1)
