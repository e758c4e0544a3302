"""Functions that travel by value, and are what they were when they were pickled last.

A function of ``__main__`` is pickled with all that it refers to, and that takes longer than many a task. So the pickle
is kept, and is used again as long as a new one would be the same:

- Nothing that belongs to the function can change in place: its defaults, annotations and the globals that it may refer
  to are numbers, texts, modules, C functions of modules, or the function itself. It has nothing else.
- Each of them is the very same object as before, or is missing as before.
- No module has been imported since: those of a package that are imported belong to a function that refers to it.

All others are pickled each time. What is kept is found by the function's code, which a lambda in a loop has in common
with the one before, and dies with it.
"""

from __future__ import annotations

import sys
import types
import weakref
from collections.abc import Callable, Iterator
from itertools import chain
from operator import is_
from typing import Any, NamedTuple

import cloudpickle  # type: ignore[import-untyped]

from nbcluster.protocol.payload import Payload
from nbcluster.types import FunctionId

Pickled = tuple[FunctionId, Payload]

_LARGEST = 64 * 1024
"""Bytes of a pickle that is kept, at most: what it was made of is kept, too."""

_ATOMS = frozenset([int, float, complex, bool, str, bytes, type(None)])
_MISSING, _ITSELF = object(), object()
_OF_MODULE = ("__package__", "__name__", "__path__", "__file__")
"""Globals that cloudpickle sends along with any function."""


class _Kept(NamedTuple):
    code: weakref.ref[types.CodeType]
    parts: tuple[object, ...]
    names: tuple[str, ...]
    """Globals that the function may refer to."""
    values: tuple[object, ...]
    imported: int
    pickled: Pickled


_kept: dict[int, _Kept] = {}


def find(function: Callable[..., Any]) -> Pickled | None:
    """What ``keep`` was given for this function, if that is still what it is."""
    if type(function) is not types.FunctionType:
        return None
    code = function.__code__
    kept = _kept.get(id(code))
    if kept is None or kept.code() is not code or kept.imported != len(sys.modules):
        return None
    if not _are_same(kept.parts, _parts(function)) or not _are_same(kept.values, _values(function, kept.names)):
        return None
    return None if cloudpickle.list_registry_pickle_by_value() else kept.pickled


def keep(function: Callable[..., Any], pickled: Pickled) -> None:
    """Keep how a function was pickled, if nothing that belongs to it can change unseen."""
    _, payload = pickled
    if type(function) is not types.FunctionType or len(payload.data) > _LARGEST or payload.frames:
        return
    code = function.__code__
    parts = _parts(function)
    names = tuple(dict.fromkeys(chain(_OF_MODULE, _names(code))))
    values = _values(function, names)
    if parts is None or not all(map(_is_fixed, values)) or cloudpickle.list_registry_pickle_by_value():
        return
    address = id(code)
    forget = weakref.ref(code, lambda _: _kept.pop(address, None))
    _kept[address] = _Kept(forget, parts, names, values, len(sys.modules), pickled)


def _parts(function: types.FunctionType) -> tuple[object, ...] | None:
    """What belongs to a function beside its code and globals; None if that may change in place."""
    if function.__closure__ or function.__kwdefaults__ or function.__dict__:
        return None
    if getattr(function, "__type_params__", ()) or getattr(function, "__annotate__", None):  # of newer Pythons
        return None
    defaults = function.__defaults__ or ()
    annotations = function.__annotations__
    if defaults and not all(map(_is_fixed, defaults)):
        return None
    if annotations and not all(map(_is_fixed_annotation, annotations.values())):
        return None
    told = (function.__name__, function.__qualname__, function.__module__, function.__doc__, len(defaults))
    return (*told, *defaults, *annotations, *annotations.values())


def _values(function: types.FunctionType, names: tuple[str, ...]) -> tuple[object, ...]:
    get = function.__globals__.get
    values = [get(name, _MISSING) for name in names]
    return tuple(_ITSELF if value is function else value for value in values)


def _names(code: types.CodeType) -> Iterator[str]:
    """The globals that a code may refer to, and all attributes: in it they look alike."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _is_fixed(value: object) -> bool:
    """True if it is pickled as long as it lives as it is now."""
    if type(value) in _ATOMS or value is _MISSING or value is _ITSELF:
        return True
    if isinstance(value, types.ModuleType):
        return sys.modules.get(value.__name__) is value and value.__name__ != "__main__"
    return isinstance(value, types.BuiltinFunctionType) and type(value.__self__) is types.ModuleType


def _is_fixed_annotation(value: object) -> bool:
    return type(value) is str or value is None or (type(value) is type and value.__module__ == "builtins")


def _are_same(some: tuple[object, ...], others: tuple[object, ...] | None) -> bool:
    if others is None or len(some) != len(others):
        return False
    return all(map(is_, some, others))
