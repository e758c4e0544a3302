"""Several calls as one: what becomes of the small tasks of a graph that were fused into a large one.

The order of the calls is settled where the graph is submitted. A worker only goes through them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Step(NamedTuple):
    """One call. Slots are places for values: first those of the inputs, then one for the result of each step."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    """With None where the value of a slot belongs."""
    slots: tuple[tuple[int, int], ...]
    """Positions in ``args``, and whose values belong there."""
    kwargs: dict[str, Any]
    kwslots: tuple[tuple[str, int], ...]
    dead: tuple[int, ...]
    """Slots that no later step looks at."""


class Fused:
    """Calls that follow each other, as one function of their inputs.

    Args:
        steps: in order; the result of the last one is that of the whole.
    """

    __slots__ = ("_steps",)

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self._steps = steps

    def __call__(self, *inputs: Any) -> Any:
        """Make the calls; returns what the last one does."""
        values: list[Any] = list(inputs)
        result = None
        for function, args, slots, kwargs, kwslots, dead in self._steps:
            real = list(args)
            for position, slot in slots:
                real[position] = values[slot]
            if kwslots:
                kwargs = {**kwargs, **{name: values[slot] for name, slot in kwslots}}
            result = function(*real, **kwargs)
            del real, kwargs
            values.append(result)
            for slot in dead:
                values[slot] = None
        return result

    def __reduce__(self) -> tuple[type[Fused], tuple[Any, ...]]:
        return Fused, (tuple(tuple(step) for step in self._steps),)

    def __repr__(self) -> str:
        names = (getattr(step[0], "__name__", type(step[0]).__name__) for step in self._steps)
        return f"<Fused {', '.join(names)}>"


def call(function: Callable[..., T], *args: Any) -> T:
    """Call a function that is an argument like the others: one that no other task has."""
    return function(*args)


def identity(value: T) -> T:
    """The value itself: the task of data that is part of a graph."""
    return value


def make_list(*items: Any) -> list[Any]:
    """A list of values that other steps made."""
    return list(items)


def make_tuple(*items: Any) -> tuple[Any, ...]:
    """A tuple of values that other steps made."""
    return items


def make_set(*items: Any) -> set[Any]:
    """A set of values that other steps made."""
    return set(items)


def make_dict(*items: Any) -> dict[Any, Any]:
    """A dict of keys and values, in turn, that other steps made."""
    return dict(zip(items[::2], items[1::2], strict=True))


def call_node(node: Callable[[dict[Any, Any]], T], keys: tuple[Any, ...], *values: Any) -> T:
    """Have a node of a kind of its own compute itself from what it names by these keys."""
    return node(dict(zip(keys, values, strict=True)))
