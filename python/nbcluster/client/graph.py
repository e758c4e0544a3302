"""A graph of dask's, read: which tasks there are, in which order they are best run, and what each of them calls.

    dsk ──▶ nodes ──▶ without aliases, and what nobody asked for ──▶ in dask's order ──▶ Call per task

Whatever kind of graph comes (nodes, tuples, layers, an expression), dask turns it into nodes. A node becomes a plain
call with task references among its arguments, so that a worker need not know of dask. Nodes inside of nodes, and those
that were fused, become the steps of one call. Dask is imported here only when there is a graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from nbcluster.client.gathering import find_futures
from nbcluster.client.graph_futures import Lifter
from nbcluster.client.graph_keys import key_text
from nbcluster.client.graph_steps import Compiler
from nbcluster.protocol.fused import Fused, call, identity
from nbcluster.protocol.serialize import TaskRef
from nbcluster.types import Key

_CONTAINERS = (list, tuple)


class Call(NamedTuple):
    """What one task of a graph does."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Graph:
    """A graph as far as certain keys of it need it.

    Args:
        dsk: a dict of nodes or of tuples, a ``HighLevelGraph`` or an expression.
        keys: whose results are asked for.
        is_known: tells of a key that is not in the graph whether there is a future for it.

    Raises:
        FutureCancelledError: a task needs a future that was cancelled or released.
        TypeError: it is not a graph, or a key is of a type that dask does not allow.
        KeyError: a key that is asked for is not in the graph.
        ValueError: a task needs something that neither is in the graph nor has a future, or workers of distributed.
        RuntimeError: tasks need each other in a circle; says which.
        ImportError: dask is too old.
    """

    def __init__(self, dsk: Any, keys: Collection[Any], is_known: Callable[[Key], bool]) -> None:
        from dask import __version__, _task_spec

        if not hasattr(_task_spec, "_is_dask_future"):
            raise ImportError(
                f"dask {__version__} knows no futures but those of distributed; install 2026.1.2 or later"
            )
        self._spec = _task_spec
        self._cast = getattr(_task_spec, "_identity_cast", None)
        """What makes a container that was written as such into a tuple of a task."""
        self._is_known = is_known
        graph, self.annotations = _materialize(dsk)
        """What is to be heeded, by kind, and by key."""
        for key in keys:
            if key not in graph:
                raise KeyError(f"{key!r} was asked for, but is not in the graph")
        self._nodes: dict[Any, Any] = _task_spec.convert_legacy_graph(graph)
        self._refs: dict[Any, TaskRef] = {}
        self.homes: dict[Any, Key] = {key: self._ref(key).key for key in keys}
        """The task behind each key that was asked for: an alias has none of its own."""
        self._compiler = Compiler(_task_spec)
        self._lifter = Lifter(_task_spec)
        self._fused: dict[tuple[int, Any, Any], Fused] = {}
        self.order = self._sort(keys, graph)
        """All keys that have tasks, each after those that its task needs."""
        for key in self.order:
            if type(self._nodes[key]).__module__.startswith("distributed."):
                raise ValueError(
                    f"the task {key!r} belongs to a shuffle that only workers of distributed can do ('p2p'); here the "
                    "method is 'tasks', which is the default: leave shuffle_method= out, or set it so with "
                    "dask.config.set({'dataframe.shuffle.method': 'tasks', 'array.rechunk.method': 'tasks'})"
                )
        subgraphs = (self._nodes[key] for key in self.order)
        self._sharing = Counter(id(node.args[0]) for node in subgraphs if self._is_subgraph(node))

    def text(self, key: Any) -> Key:
        """The name of the task of a key."""
        return self._ref(key).key

    def needs(self, key: Any) -> Iterator[Any]:
        """The keys in the graph whose tasks the task of a key needs."""
        nodes = self._nodes
        for needed in nodes[key].dependencies:
            home = self._resolve(needed)
            if home in nodes:
                yield home

    # --- keys ---

    def _ref(self, key: Any) -> TaskRef:
        ref = self._refs.get(key)
        if ref is None:
            home = self._resolve(key)
            ref = TaskRef(home if home not in self._nodes and isinstance(home, str) else key_text(home))
            self._refs[key] = ref
        return ref

    def _resolve(self, key: Any) -> Any:
        """Follow aliases: to a task of the graph, or to a future's key."""
        alias, nodes = self._spec.Alias, self._nodes
        node: Any = nodes.get(key)
        if type(node) is not alias:
            return key
        seen = {key}
        while type(node) is alias:
            key = node.target
            if key in seen:
                circle = "\n  -> ".join(str(one) for one in (*seen, key))
                raise RuntimeError(f"Cycle detected between the following keys:\n  -> {circle}")
            seen.add(key)
            node = nodes.get(key)
        return key

    def _sort(self, keys: Collection[Any], graph: Mapping[Any, Any]) -> list[Any]:
        from dask.order import order

        needed = self._cull(keys, graph)
        ranks: dict[Any, int] = order(needed)
        in_order = sorted((key for key in needed if type(needed[key]) is not self._spec.Alias), key=ranks.__getitem__)
        return self._after_needs(in_order)

    def _cull(self, keys: Collection[Any], graph: Mapping[Any, Any]) -> dict[Any, Any]:
        nodes, needed, work = self._nodes, dict[Any, Any](), list(keys)
        while work:
            key = work.pop()
            if key in needed:
                continue
            node = nodes.get(key)
            if node is None:
                if not self._is_known(self._ref(key).key):
                    raise _cancelled(key, graph) or ValueError(_unknown(key, keys, needed))
                continue
            needed[key] = node
            work.extend(node.dependencies)
        return needed

    def _after_needs(self, keys: list[Any]) -> list[Any]:
        """The same order, but for those that would come before what they need."""
        placed: dict[Any, None] = {}
        for key in keys:
            stack = [key]
            while stack:
                missing = [one for one in self.needs(stack[-1]) if one not in placed]
                if missing:
                    stack += missing
                else:
                    placed[stack.pop()] = None
        return list(placed)

    # --- calls ---

    def call(self, key: Any) -> Call:
        """What the task of a key calls, with task references for what it needs."""
        node, spec = self._nodes[key], self._spec
        kind = type(node)
        if kind is spec.DataNode:
            return Call(identity, (node.value,), {})
        try:
            if self._is_subgraph(node):
                return self._call_of_subgraph(node)
            if kind is spec.Task:
                args = tuple([self._argument(one) for one in node.args])
                return Call(node.func, args, {name: self._argument(one) for name, one in node.kwargs.items()})
        except _NotPlain:
            pass
        needed = tuple(node.dependencies)
        node, lifted = self._lifter.lift_node(node)
        fused = self._compiler.compile({key: node}, key, (*needed, *lifted))
        return Call(call, (fused, *[self._ref(one) for one in needed], *lifted.values()), {})

    def _is_subgraph(self, node: Any) -> bool:
        if type(node) is not self._spec.Task or not node.has_subgraph() or len(node.args) < 3 or node.kwargs:
            return False
        return isinstance(node.args[0], dict) and len(node.args) == 3 + len(node.args[2])

    def _call_of_subgraph(self, node: Any) -> Call:
        inner, outkey, inkeys, *inputs = node.args
        args = [self._argument(one) for one in inputs]
        lifted: dict[Any, Any] = {}
        if self._lifter.has_futures(inner):
            inner, lifted = self._lifter.lift(inner)
        args += lifted.values()
        inkeys = (*inkeys, *lifted)
        if self._sharing[id(node.args[0])] < 2:
            return Call(call, (self._compiler.compile(inner, outkey, inkeys), *args), {})
        which = (id(node.args[0]), outkey, inkeys)
        fused = self._fused.get(which)
        if fused is None:
            fused = self._fused[which] = self._compiler.compile(inner, outkey, inkeys)
        return Call(fused, tuple(args), {})

    def _argument(self, value: Any) -> Any:
        """An argument as a worker gets it: task references for keys, plain containers for those of nodes."""
        spec = self._spec
        kind = type(value)
        if kind is spec.TaskRef:
            return self._ref(value.key)
        if not isinstance(value, spec.GraphNode):
            return value
        if kind is spec.Alias:
            return self._ref(value.target)
        if kind is spec.DataNode:
            return value.value
        if kind is spec.List:
            return [self._argument(one) for one in value.args]
        if kind is spec.Tuple:
            return tuple([self._argument(one) for one in value.args])
        if kind is spec.Set:
            return {self._argument(one) for one in value.args}
        if kind is spec.Dict:
            items = [self._argument(one) for one in value.args]
            return dict(zip(items[::2], items[1::2], strict=True))
        if kind is spec.Task and value.func is self._cast and value.kwargs.get("typ") in _CONTAINERS:
            return value.kwargs["typ"]([self._argument(one) for one in value.args])
        raise _NotPlain


class _NotPlain(Exception):
    """An argument has to be computed first."""


def _materialize(dsk: Any) -> tuple[dict[Any, Any], dict[str, dict[Any, Any]]]:
    """A graph as a dict, and its annotations by kind and key."""
    from dask.highlevelgraph import HighLevelGraph

    annotations: dict[str, dict[Any, Any]] = {}
    if hasattr(dsk, "__dask_graph__"):
        graph = dsk.__dask_graph__()
        if hasattr(dsk, "__dask_annotations__"):
            annotations = dsk.__dask_annotations__()
    else:
        graph = dsk
    if isinstance(graph, HighLevelGraph):
        for layer in graph.layers.values():
            for kind, value in (layer.annotations or {}).items():
                annotations.setdefault(kind, {}).update({k: value(k) if callable(value) else value for k in layer})
    if not isinstance(graph, Mapping):
        raise TypeError(
            f"dsk={dsk!r} is not a graph of dask's: give a dict of tasks, a HighLevelGraph, or a collection's graph"
        )
    return dict(graph), annotations


def _cancelled(key: Any, graph: Mapping[Any, Any]) -> BaseException | None:
    """Why a future in the graph is of no use."""
    futures = find_futures(list(graph.values()))
    return next((future._state.exception() for future in futures if future.key == key and future.cancelled()), None)


def _unknown(key: Any, asked: Collection[Any], nodes: Mapping[Any, Any]) -> str:
    needy = next((one for one, node in nodes.items() if key in node.dependencies), None)
    who = f"{key!r} was asked for, but" if needy is None or key in asked else f"the task {needy!r} needs {key!r}, but"
    return f"{who} it is not in the graph, and this client has no future for it"
