"""Finds what in a large object cannot be pickled, so that the error can name it.

Runs only after pickling has failed. An object whose parts can all be pickled, and which still cannot be
pickled itself, is the culprit; otherwise the search goes on in the first part that fails. It is bounded: a
budget of attempts, and no object is entered twice.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

MAX_ATTEMPTS = 1000

Part = tuple[str, Any]


def find_culprit(roots: Iterable[Part], error: BaseException) -> tuple[str, Any, BaseException]:
    """Return the path to the innermost thing that fails, the thing and its own error.

    Args:
        roots: what was pickled together, each with the name it goes by, e.g. ``("args", args)``. A function
            may go by ``""``: its own name is enough.
        error: the error that they gave together.
    """
    parts = iter(roots)
    path, culprit = "", None
    seen: set[int] = set()
    budget = MAX_ATTEMPTS
    while True:
        for inner_path, inner in islice(parts, budget):
            budget -= 1
            if id(inner) in seen:
                continue
            inner_error = _attempt(inner)
            if inner_error is not None:
                seen.add(id(inner))
                path, culprit, error = inner_path, inner, inner_error
                parts = _parts(inner, inner_path)
                break
        else:
            return path or _function_label(culprit, path), culprit, error


def _attempt(value: Any) -> BaseException | None:
    try:
        cloudpickle.dumps(value, protocol=5, buffer_callback=lambda buffer: False)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return error
    return None


def _parts(value: Any, path: str) -> Iterator[Part]:
    """What ``value`` is pickled from, each part with its path."""
    if isinstance(value, types.FunctionType):
        return _function_parts(value, _function_label(value, path))
    if isinstance(value, types.MethodType):
        return iter([(f"{path}.__self__", value.__self__), (f"{path}.__func__", value.__func__)])
    if isinstance(value, functools.partial):
        return iter([(f"{path}.func", value.func), (f"{path}.args", value.args), (f"{path}.keywords", value.keywords)])
    if isinstance(value, type):
        return ((f"{path}.{name}", member) for name, member in vars(value).items())
    if type(value) is dict:
        return _item_parts(value.items(), path)
    if type(value) in (set, frozenset):
        return ((f"{path}: element {_short(item)}", item) for item in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return ((f"{path}.{name}", item) for name, item in zip(value._fields, value, strict=False))
    if type(value) in (list, tuple):
        return ((f"{path}[{i}]", item) for i, item in enumerate(value))
    return _object_parts(value, path)


def _function_label(function: Any, path: str) -> str:
    label = f"function {getattr(function, '__name__', type(function).__name__)}"
    return f"{path}: {label}" if path else label


def _function_parts(function: types.FunctionType, label: str) -> Iterator[Part]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        yield from ((f"{label}: closure variable {name}", content) for content in _contents(cell))
    for name in code.co_names:
        if name in function.__globals__:
            yield f"{label}: global variable {name}", function.__globals__[name]
    for i, default in enumerate(function.__defaults__ or ()):
        name = code.co_varnames[code.co_argcount - len(function.__defaults__ or ()) + i]
        yield f"{label}: default of {name}", default
    for name, default in (function.__kwdefaults__ or {}).items():
        yield f"{label}: default of {name}", default
    for name, attribute in vars(function).items():
        yield f"{label}: attribute {name}", attribute


def _contents(cell: types.CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # the variable has no value yet
        return []


def _item_parts(items: Any, path: str) -> Iterator[Part]:
    for key, item in items:
        yield f"{path}: key {_short(key)}", key
        yield f"{path}[{_short(key)}]", item


def _object_parts(value: Any, path: str) -> Iterator[Part]:
    """What the object itself says that it is made of."""
    try:
        reduced: Any = value.__reduce_ex__(5)
    except KeyboardInterrupt:
        raise
    except BaseException:  # then it is the culprit itself
        return
    if not isinstance(reduced, tuple):
        return
    _, arguments, state, elements, items = (*reduced, None, None, None, None)[:5]
    slots: Any = None
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        state, slots = state
    for attributes in (state, slots):
        if isinstance(attributes, dict):
            yield from ((f"{path}.{name}", attribute) for name, attribute in attributes.items())
        elif attributes is not None:
            yield f"{path}.__getstate__()", attributes
    yield from ((f"{path}[{i}]", item) for i, item in enumerate(elements or ()))
    yield from _item_parts(items or (), path)
    for i, argument in enumerate(arguments or ()):
        yield f"{path}.__reduce__()[1][{i}]", argument


def _short(value: Any) -> str:
    """Name an element without trusting its ``repr``."""
    if isinstance(value, (str, int, float, bytes, bool)) or value is None:
        text = repr(value)
        return text if len(text) <= 40 else text[:37] + "..."
    return f"<{type(value).__name__}>"
