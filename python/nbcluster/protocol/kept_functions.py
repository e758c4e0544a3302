"""Functions that travel by value, and are what they were when they were pickled last.

A function of ``__main__`` is pickled with all that it refers to, and that takes longer than many a task. So the pickle
is kept, and is used again as long as a new one would be the same:

- Nothing that belongs to the function can change in place. It has no closure, attributes or keyword defaults; its
  defaults are numbers and texts; the globals that it names are such, too, or modules, functions and classes that are
  imported from modules, or the function itself.
- Each of them is the very same object as before, or is missing as before.
- The same modules are imported: cloudpickle has a function that names a package import what is imported of it here.

All others are pickled each time. What is kept is found by the function's code, which a lambda in a loop has in common
with the one before, and dies with it.
"""

from __future__ import annotations

import dis
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from itertools import chain
from operator import is_
from typing import NamedTuple

import cloudpickle  # type: ignore[import-untyped]

from nbcluster.protocol.payload import Payload
from nbcluster.types import FunctionId

Pickled = tuple[FunctionId, Payload]

_LARGEST = 64 * 1024
"""Bytes of a pickle that is kept, at most: what it was made of is kept, too."""

# By identity: to ask a type whether it is among others may run code of its metaclass.
_TEXTS = frozenset(map(id, (str, type(None))))
_ATOMS = _TEXTS | frozenset(map(id, (int, float, complex, bool, bytes)))
_MISSING, _ITSELF = object(), object()

_GLOBAL = frozenset(dis.opmap[name] for name in ("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL"))
_OF_MODULE = ("__package__", "__name__", "__path__", "__file__")
"""Globals that cloudpickle sends along with any function."""


class Look(NamedTuple):
    """What belonged to a function when it was looked at."""

    code: weakref.ref[types.CodeType]
    parts: tuple[object, ...]
    names: tuple[str, ...]
    """The globals that it names."""
    values: tuple[object, ...]
    offered: tuple[object, ...]
    """Those of them that are pickled by name as long as that name is theirs."""
    imported: tuple[int, str]


_kept: dict[int, tuple[Look, Pickled]] = {}
_NEVER = (None, None)
_names: weakref.WeakKeyDictionary[types.CodeType, tuple[str, ...]] = weakref.WeakKeyDictionary()


def find(function: Callable[..., object]) -> Pickled | None:
    """How this function was pickled, if that was kept, and is how it would be pickled now."""
    if type(function) is not types.FunctionType:
        return None
    code = function.__code__
    look, pickled = _kept.get(id(code), _NEVER)
    if look is None or look.code() is not code or look.imported != _imported():
        return None
    if not _are_same(look.parts, _parts(function)) or not _are_same(look.values, _values(function, look.names)):
        return None
    if not all(map(_is_offered, look.offered)) or cloudpickle.list_registry_pickle_by_value():
        return None
    return pickled


def look_at(function: Callable[..., object]) -> Look | None:
    """What belongs to a function that is about to be pickled; None if some of it can change unseen."""
    if type(function) is not types.FunctionType or cloudpickle.list_registry_pickle_by_value():
        return None
    code, parts, imported = function.__code__, _parts(function), _imported()
    if parts is None or imported is None:
        return None
    names = _names.get(code)
    if names is None:
        names = _names[code] = tuple(dict.fromkeys(chain(_OF_MODULE, _globals_named(code))))
    values = _values(function, names)
    if not all(map(_is_fixed, values)):
        return None
    address = id(code)
    forget = weakref.ref(code, lambda _: _kept.pop(address, None))
    offered = tuple(value for value in values if type(value) is types.FunctionType or type(value) is type)
    return Look(forget, parts, names, values, offered, imported)


def keep(look: Look, pickled: Pickled) -> None:
    """Keep how a function was pickled after that look at it."""
    _, payload = pickled
    code = look.code()
    if code is not None and len(payload.data) <= _LARGEST and not payload.frames:
        _kept[id(code)] = look, pickled


def _parts(function: types.FunctionType) -> tuple[object, ...] | None:
    """What belongs to a function beside its code and globals; None if that may change in place."""
    if function.__closure__ or function.__kwdefaults__ or function.__dict__:
        return None
    if getattr(function, "__type_params__", ()) or getattr(function, "__annotate__", None):  # of newer Pythons
        return None
    told = (function.__name__, function.__qualname__, function.__module__, function.__doc__)
    defaults = function.__defaults__ or ()
    if not _TEXTS.issuperset(map(id, map(type, told))) or not _ATOMS.issuperset(map(id, map(type, defaults))):
        return None
    annotations = function.__annotations__
    if annotations and not all(map(_is_fixed_annotation, annotations.items())):
        return None
    return (*told, len(defaults), *defaults, *annotations, *annotations.values())


def _values(function: types.FunctionType, names: tuple[str, ...]) -> tuple[object, ...]:
    get = function.__globals__.get
    values = [get(name, _MISSING) for name in names]
    return tuple(_ITSELF if value is function else value for value in values)


def _globals_named(code: types.CodeType) -> Iterator[str]:
    """The names of globals in a code and in those within it, as cloudpickle looks for them."""
    for instruction in dis.get_instructions(code):
        if instruction.opcode in _GLOBAL:
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals_named(constant)


def _imported() -> tuple[int, str] | None:
    """Tells whether modules were imported in between. None while another thread imports one."""
    try:
        return len(sys.modules), next(reversed(sys.modules))
    except RuntimeError:
        return None


def _is_fixed(value: object) -> bool:
    """True for a global that does not change in place, or if it does, not in the pickle of who names it."""
    if id(type(value)) in _ATOMS or value is _MISSING or value is _ITSELF:
        return True
    if type(value) is types.ModuleType:
        name = value.__dict__.get("__name__")
        return type(name) is str and name != "__main__" and sys.modules.get(name) is value
    if type(value) is types.BuiltinFunctionType:
        return type(value.__self__) is types.ModuleType
    return _is_offered(value)


def _is_offered(value: object) -> bool:
    """True for a function or class that can be imported by its name from a module, and so is pickled by it."""
    if type(value) is not types.FunctionType and type(value) is not type:
        return False
    where, name = value.__module__, value.__qualname__
    if type(where) is not str or where == "__main__" or type(name) is not str:
        return False
    module = sys.modules.get(where)
    return type(module) is types.ModuleType and module.__dict__.get(name) is value


def _is_fixed_annotation(item: tuple[object, object]) -> bool:
    name, value = item
    if type(name) is not str:
        return False
    return id(type(value)) in _TEXTS or (type(value) is type and value.__module__ == "builtins")


def _are_same(some: tuple[object, ...], others: tuple[object, ...] | None) -> bool:
    return others is not None and len(some) == len(others) and all(map(is_, some, others))
