"""Trees of small values as they travel: each leaf with the names that lead to it. On the wire names are text."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

from nbcluster.protocol.coordination import Leaf
from nbcluster.protocol.payload import Payload

Name = Any
"""A string, a number, bytes, or a tuple of such."""


def is_name(name: object) -> bool:
    """Whether it is made of strings, numbers, bytes, None, and tuples of such."""
    if isinstance(name, tuple):
        return type(name) is tuple and all(map(is_name, name))
    return name is None or type(name) in (str, int, float, bool, bytes)


def encode(name: Name, what: str = "name") -> str:
    """A name as text.

    Raises:
        TypeError: it is none.
    """
    if name is None or not is_name(name):
        raise TypeError(f"{what}={name!r} is not a string, a number, or a tuple of such")
    return repr(name)


def decode(name: str) -> Name:
    """The opposite."""
    return ast.literal_eval(name)


def path_of(keys: Any, what: str) -> list[str]:
    """Names that lead through nested dicts, or one, as text.

    Raises:
        TypeError: one is no name.
        ValueError: there are none.
    """
    path = [encode(one, what) for one in (keys if isinstance(keys, (list, tuple)) else [keys])]
    if not path:
        raise ValueError(f"{what}={keys!r} is empty; give a name, or names that lead through nested dicts")
    return path


def leaves_of(value: Any, dump: Callable[[Any], Payload], path: list[str] | None = None) -> Iterator[Leaf]:
    """A value in leaves: dicts become branches."""
    path = [] if path is None else path
    if type(value) is dict and all(is_name(name) for name in value):
        if not value:
            yield Leaf(path, None)
        for name, item in value.items():
            yield from leaves_of(item, dump, [*path, encode(name)])
    else:
        yield Leaf(path, dump(value))


def tree_of(leaves: list[Leaf], load: Callable[[Payload], Any]) -> Any:
    """The value of leaves."""
    tree: dict[Name, Any] = {}
    for leaf in leaves:
        value = {} if leaf.value is None else load(leaf.value)
        if not leaf.path:
            return value
        branch = tree
        for name in leaf.path[:-1]:
            branch = branch.setdefault(decode(name), {})
        branch[decode(leaf.path[-1])] = value
    return tree
