"""From a graph to the messages that submit it.

A graph goes out in pieces: the first tasks run while the next are still being pickled. What a later piece needs of an
earlier one is wanted until all of them are out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nbcluster.client.annotating import HEEDED, Annotated, as_given, checked, pickled
from nbcluster.client.generations import following
from nbcluster.client.graph import Graph
from nbcluster.client.large_arguments import LargeArguments
from nbcluster.garbage import collector_paused
from nbcluster.protocol.messages import SAME_LINE, GraphTask, Line, SubmitGraph, TaskOptions, WantKeys
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.records import Message
from nbcluster.protocol.serialize import detach, dump_call, dump_function
from nbcluster.types import FunctionId, Key

PIECE = 500
"""Tasks per message."""


class GraphSubmission:
    """Prepares a graph's tasks.

    Args:
        dsk: the graph, of any kind that dask has.
        keys: whose results are asked for.
        annotated: how its tasks are to be run; what the graph itself says of some goes before.
        is_known: tells whether there is a future for a key.
        share: puts a large buffer where the workers see it; None: it is sent.
        line: where in line its tasks come.
    """

    def __init__(
        self,
        dsk: Any,
        keys: list[Any],
        annotated: Annotated,
        is_known: Callable[[Key], bool],
        share: Callable[[memoryview, bool], Frame] | None = None,
        line: Line = SAME_LINE,
    ) -> None:
        with collector_paused():
            graph = Graph(dsk, keys, is_known)
        self._graph = graph
        self._options = annotated.options
        self._line = line
        self._own = _own_options(graph, annotated, keys)
        self.outcomes: list[Key] = [graph.homes[key] for key in keys]
        """The names of the tasks behind ``keys``."""
        self._large = LargeArguments(share) if share is not None else None
        self._dumped: dict[int, tuple[FunctionId, Payload, object]] = {}

    def messages(self) -> Iterator[tuple[list[Key], Message]]:
        """Each message with the keys that have to be held when it is sent, and until the last one is."""
        graph, line = self._graph, self._line
        outcomes = set(self.outcomes)
        last_use = {needed: place for place, key in enumerate(graph.order) for needed in graph.needs(key)}
        for start in range(0, len(graph.order), PIECE):
            end = start + PIECE
            wanted, tasks, functions = [], [], dict[FunctionId, Payload]()
            with collector_paused():
                for key in graph.order[start:end]:
                    name = graph.text(key)
                    held = name in outcomes or last_use.get(key, 0) >= end
                    if held:
                        wanted.append(name)
                    tasks.append(self._task(key, name, held, functions))
            yield wanted, SubmitGraph(functions, tasks, self._options, line, start)
            line = following(line)
        others = outcomes.difference(graph.text(key) for key in graph.order)
        if others:  # they are futures already
            yield list(others), WantKeys(list(others))

    def _task(self, key: Any, name: Key, wanted: bool, functions: dict[FunctionId, Payload]) -> GraphTask:
        function, args, kwargs = self._graph.call(key)
        function_id, definition = self._function(function)
        functions[function_id] = definition
        call = dump_call(args, kwargs)
        task_options = self._own.get(key)
        frames = self._detached(call.frames) if call.frames else []
        return GraphTask(name, function_id, call.data, call.dependencies, wanted, task_options, frames)

    def _detached(self, frames: Sequence[Frame]) -> list[Frame]:
        """Buffers as they are now; a large one is shared once, however many of the tasks have it."""
        if self._large is None:
            return detach(frames)
        return detach(self._large.recall(frames), self._large.share)

    def _function(self, function: Callable[..., Any]) -> tuple[FunctionId, Payload]:
        """A function is pickled once in a graph: nobody can change it in between."""
        known = self._dumped.get(id(function))
        if known is None:
            known = self._dumped[id(function)] = (*dump_function(function), function)
        return known[0], known[1]


def _own_options(graph: Graph, annotated: Annotated, keys: list[Any]) -> dict[Any, TaskOptions]:
    """The options of those tasks that have some of their own."""
    own: dict[Any, dict[str, Any]] = {key: {} for key in graph.order} if annotated.differ else {}
    others: dict[Any, dict[str, Any]] = {}
    for kind, values in graph.annotations.items():
        for key, value in values.items():
            given = own.setdefault(key, {})
            (given if kind in HEEDED else others.setdefault(key, {}))[kind] = value
    if annotated.actors:
        which = keys if annotated.actors is True else annotated.actors
        names = {graph.text(key) for key in which}
        for key in graph.order:
            if graph.text(key) in names:
                own.setdefault(key, {})["actor"] = True
    made: dict[str, TaskOptions] = {}
    result = {}
    for key, given in own.items():
        default = annotated.of(key)
        said = pickled({**annotated.others(key), **others[key]}) if key in others else default.annotations
        signature = repr((default, sorted(given.items()), said))
        if signature not in made:
            made[signature] = checked({**as_given(default), **given}, said)
        result[key] = made[signature]
    return result
