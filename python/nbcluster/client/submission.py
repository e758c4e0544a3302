"""From a call to the message that submits it: keys, pickled arguments, options."""

from __future__ import annotations

import functools
import itertools
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbcluster.arguments import MOST, check_flag, check_number, check_resources, check_whole, check_workers
from nbcluster.client.large_arguments import LargeArguments
from nbcluster.protocol.messages import SAME_LINE, Line, SubmitTasks, TaskOptions
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.serialize import (
    Arguments,
    detach,
    dump_call,
    dump_function,
    dump_plain_call,
    plain_token,
    token,
)
from nbcluster.types import FunctionId, Key

MAP_BATCH = 1000
"""Tasks per message, at most: the first run while the next are still being pickled."""

FIRST_BATCH = 128
"""And in the first one of a map: it is soon with the workers. Each of the next has twice as many."""

_DEFAULTS = TaskOptions()
"""What most tasks have: one object, so that it is seen at a glance that two are the same."""

_unique = itertools.count()
_process = uuid.uuid4().hex[:16]


def _new_process() -> None:
    global _process
    _process = uuid.uuid4().hex[:16]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_process)


def unique_token() -> str:
    """32 hexadecimal digits that no other call in any process gets."""
    return f"{_process}{next(_unique):016x}"


def content_token(payload: Payload) -> str:
    """32 hexadecimal digits that name data by its pickled content."""
    return token(b"", Arguments(payload.data, payload.frames, []))


def function_name(function: Callable[..., Any]) -> str:
    """What a function's keys begin with."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None) or type(function).__name__
    return "lambda" if name == "<lambda>" else str(name).strip("<>")


def options(
    workers: object = None,
    allow_other_workers: object = False,
    resources: object = None,
    retries: object = None,
    priority: object = 0,
    actor: object = False,
    actors: object = False,
) -> TaskOptions:
    """Check the options that ``submit`` and ``map`` share.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
    """
    if (
        workers is resources is retries is None
        and allow_other_workers is actor is actors is False
        and (type(priority) is int and -MOST <= priority <= MOST)
    ):
        return TaskOptions(priority=priority) if priority else _DEFAULTS
    names = check_workers("workers", workers)
    if names is not None and not names:
        raise ValueError(f"workers={workers!r} names no worker; leave it out if any will do")
    others = check_flag("allow_other_workers", allow_other_workers)
    if others and names is None:
        raise ValueError("allow_other_workers=True only makes sense with workers=[…]; give both, or neither")
    return TaskOptions(
        actor=check_flag("actor", actor) | check_flag("actors", actors),
        workers=names,
        allow_other_workers=others,
        resources=check_resources(resources),
        retries=0 if retries is None else check_whole("retries", retries, least=0),
        priority=check_number("priority", priority),
    )


class Batch:
    """Collects calls of one function; ``message`` submits them. Keys are unique within a batch.

    Large buffers among the arguments are shared once, however many of the calls they are in. That holds for one
    batch object only: whoever makes another one may have changed them in the meantime.

    Args:
        function: what is called.
        task_options: how to run it.
        pure: equal calls have equal keys.
        share: puts a large buffer where the workers see it; None: it is sent.
        admit: called with each future among the arguments; raises if it is of no use here.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        task_options: TaskOptions,
        pure: bool,
        share: Callable[[memoryview, bool], Frame] | None = None,
        admit: Callable[[Any], object] | None = None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"the first argument is {function!r}, which cannot be called; give a function")
        self.name = function_name(function)
        self._function: FunctionId
        self._definition: Payload
        self._function, self._definition = dump_function(function)
        self.options = task_options
        """How to run those that are added until the next message."""
        self._pure = pure
        self._admit = admit
        self._large = LargeArguments(share, named=pure) if share is not None else None
        self._clear()

    def _clear(self) -> None:
        self.keys: list[Key] = []
        self._arguments: list[bytes] = []
        self._dependencies: dict[int, list[Key]] = {}
        self._frames: dict[int, list[Frame]] = {}

    def add(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], key: Key | None = None) -> Key:
        """Take one call; returns its key."""
        data = dump_plain_call(args, kwargs)
        if data is None:
            return self._add_any(args, kwargs, key)
        if key is None:
            key = f"{self.name}-{plain_token(self._function, data) if self._pure else unique_token()}"
        self.keys.append(key)
        self._arguments.append(data)
        return key

    def _add_any(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], key: Key | None) -> Key:
        call = dump_call(args, kwargs, self._admit)
        if call.frames:  # detached before they are named: so each is read once
            call = Arguments(call.data, self._detached(call.frames), call.dependencies)
        if key is None:
            key = f"{self.name}-{self._token(call)}"
        if call.dependencies:
            self._dependencies[len(self.keys)] = call.dependencies
        if call.frames:
            self._frames[len(self.keys)] = list(call.frames)
        self.keys.append(key)
        self._arguments.append(call.data)
        return key

    def _detached(self, frames: Sequence[Frame]) -> list[Frame]:
        return detach(frames) if self._large is None else detach(self._large.recall(frames), self._large.share)

    def _token(self, call: Arguments) -> str:
        return token(self._function, call) if self._pure else unique_token()

    def message(self, line: Line = SAME_LINE) -> SubmitTasks:
        """Submit what was collected, and begin anew."""
        message = SubmitTasks(
            self._function,
            self._definition,
            self.keys,
            self._arguments,
            self.options,
            self._dependencies,
            self._frames,
            line,
        )
        self._clear()
        return message


def joined(messages: Sequence[SubmitTasks]) -> list[SubmitTasks]:
    """The same submissions in fewer messages: whoever calls ``submit`` in a loop has as many as ``map`` would make.

    Neighbours become one if they differ in nothing but keys and arguments, and are not large already.
    """
    result: list[SubmitTasks] = []
    start, size = 0, 0
    for index, message in enumerate(messages):
        count = len(message.keys)
        if size and (count >= FIRST_BATCH or size + count > MAP_BATCH or not _alike(messages[start], message)):
            result.append(_one(messages[start:index]))
            start, size = index, 0
        size += count
    result.append(_one(messages[start:]))
    return result


def _alike(one: SubmitTasks, other: SubmitTasks) -> bool:
    sparse = one.dependencies or one.frames or other.dependencies or other.frames
    if sparse or one.function != other.function or one.options != other.options:
        return False
    return other.line == one.line or (other.line == SAME_LINE and one.line.new_generation)


def _one(messages: Sequence[SubmitTasks]) -> SubmitTasks:
    first = messages[0]
    if len(messages) == 1:
        return first
    keys, arguments = [], []
    for message in messages:
        keys += message.keys
        arguments += message.arguments
    return SubmitTasks(first.function, first.definition, keys, arguments, first.options, line=first.line)
