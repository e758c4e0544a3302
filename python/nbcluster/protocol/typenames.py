"""The types of results, as names: the scheduler and the clients know them without unpickling anything."""

from __future__ import annotations

import builtins
import importlib
from typing import Any

_BUILT_IN = {
    kind: kind.__qualname__
    for kind in vars(builtins).values()
    if isinstance(kind, type) and kind.__module__ == "builtins"
}
"""Python makes these names anew at each look."""


def type_name(kind: type) -> str:
    """``type_name(int)`` is ``"int"``, and of an array's class it is ``"numpy.ndarray"``."""
    name = _BUILT_IN.get(kind)
    return _full_name(kind) if name is None else name


def _full_name(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def find_type(name: str) -> type | None:
    """The class that a name stands for in this process; None if there is none, e.g. for classes within functions."""
    parts = name.split(".")
    for count in range(len(parts) - 1, -1, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count])) if count else builtins
        except ImportError:
            continue
        for part in parts[count:]:
            found = getattr(found, part, None)
        if isinstance(found, type):
            return found
    return None
