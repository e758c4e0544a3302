"""Futures in nested containers: find them, and put values in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nbcluster.client.future import Future
from nbcluster.types import Key


def futures_within(value: Any) -> list[Future]:
    """All futures in lists, tuples, sets and dicts, in order, as often as they are there."""
    found: list[Future] = []
    _walk(value, found)
    return found


def find_futures(value: Any) -> list[Future]:
    """The same, but each key once."""
    firsts: dict[Key, Future] = {}
    for future in futures_within(value):
        firsts.setdefault(future._state.key, future)
    return list(firsts.values())


def all_futures(value: Any) -> list[Future]:
    """The same, but each object once: several may have the same key."""
    return list(dict.fromkeys(futures_within(value)))


def futures_in(name: str, value: Any, *, each: bool = False) -> list[Future]:
    """Those of an argument that has to be futures: also those behind collections of dask's.

    Args:
        name: the argument's.
        value: the argument.
        each: all of them. Otherwise each key once.

    Raises:
        TypeError: there is something, but no future.
    """
    found = (all_futures if each else find_futures)(with_parts(value))
    if not found and not _is_empty(value):
        raise TypeError(f"{name}={value!r} has no future in it; give futures, or containers of them")
    return found


def _is_empty(value: Any) -> bool:
    """True for containers in which there is nothing but such, and for collections of dask's."""
    if isinstance(value, dict):
        return all(map(_is_empty, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_is_empty, value))
    return hasattr(type(value), "__dask_graph__")


def _walk(value: Any, found: list[Future]) -> None:
    kind = type(value)
    if kind is Future:
        found.append(value)
    elif kind is dict or kind in (list, tuple, set, frozenset) or is_named_tuple(value):
        for item in value.values() if kind is dict else value:
            if type(item) is Future:  # looked at here, for there may be very many of them
                found.append(item)
            else:
                _walk(item, found)


def is_named_tuple(value: Any) -> bool:
    """True for what ``collections.namedtuple`` and ``typing.NamedTuple`` make."""
    return isinstance(value, tuple) and hasattr(value, "_make")


def with_parts(value: Any) -> Any:
    """The same structure with the futures of its parts in place of each collection of dask's."""
    kind = type(value)
    if kind is Future:
        return value
    if hasattr(kind, "__dask_graph__"):
        graph: Mapping[Any, Any] = value.__dask_graph__() or {}
        return [node for node in graph.values() if type(node) is Future]
    if kind is dict:
        return {key: with_parts(item) for key, item in value.items()}
    if kind in (list, tuple, set, frozenset):
        return [with_parts(item) for item in value]
    return value


def replace_futures(value: Any, values: Mapping[Key, Any]) -> Any:
    """The same structure with values for futures, and None for those that have none; a list leaves these out."""
    if type(value) is list:
        value = [item for item in value if type(item) is not Future or item._state.key in values]
    return _replaced(value, values)


def _replaced(value: Any, values: Mapping[Key, Any]) -> Any:
    kind = type(value)
    if kind is Future:
        return values.get(value._state.key)
    if kind is dict:
        return {key: _replaced(item, values) for key, item in value.items()}
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        build: Callable[[Any], Any] = kind
        # Futures are looked up here, for there may be very many of them, and of nothing else.
        return build([values.get(i._state.key) if type(i) is Future else _replaced(i, values) for i in value])
    if is_named_tuple(value):
        return value._make(_replaced(item, values) for item in value)
    return value
