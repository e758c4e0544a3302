"""Functions that travel by value, and are what they were when they were pickled last.

A function of ``__main__`` is pickled with all that it refers to, and that takes longer than many a task. So the pickle
is kept, and is used again as long as a new one would be the same:

- Nothing that belongs to the function can change in place. It has no closure, attributes or keyword defaults; its
  defaults are numbers and texts; the globals that it names are such, too, or modules, functions and classes that are
  pickled by their names, or the function itself.
- Each number and text is the very same object as before; what is pickled by name still goes by that name.
- The same modules are imported: with a function that names a package, cloudpickle also sends the names of those of its
  submodules that are imported here.

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
"""Bytes of a pickle that is kept, at most: the numbers and texts in it are kept, too."""

# By identity: to ask a type whether it is among others may run code of its metaclass.
_TEXTS = frozenset(map(id, (str, type(None))))
_ATOMS = _TEXTS | frozenset(map(id, (int, float, complex, bool, bytes)))
_NAMED = frozenset(map(id, (types.FunctionType, types.BuiltinFunctionType, type)))
_MISSING, _ITSELF, _BY_NAME = object(), object(), object()

_GLOBAL = frozenset(dis.opmap[name] for name in ("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL"))
_OF_MODULE = ("__package__", "__name__", "__path__", "__file__")
"""Globals that cloudpickle sends along with any function."""


class Look(NamedTuple):
    """What belongs to a function at one moment."""

    code: types.CodeType | None
    atoms: tuple[object, ...]
    """Its numbers and texts, and what stands for others among them."""
    names: tuple[str, ...]
    """Of what is pickled by name."""
    imported: tuple[int, str]
    """How many modules there are, and the last one."""

    def shows_same(self, other: Look) -> bool:
        """True if both would be pickled in the same way, given that they have the same code."""
        if self.imported != other.imported or self.names != other.names or len(self.atoms) != len(other.atoms):
            return False
        return all(map(is_, self.atoms, other.atoms))


class _Kept(NamedTuple):
    code: weakref.ref[types.CodeType]
    look: Look
    """With no code of its own, or it would never die."""
    pickled: Pickled


_kept: dict[int, _Kept] = {}
_globals: weakref.WeakKeyDictionary[types.CodeType, tuple[str, ...]] = weakref.WeakKeyDictionary()


def look_at(function: Callable[..., object]) -> Look | None:
    """What belongs to a function now; None if some of it can change unseen."""
    if type(function) is not types.FunctionType or function.__closure__ or function.__kwdefaults__ or function.__dict__:
        return None
    if getattr(function, "__type_params__", ()) or getattr(function, "__annotate__", None):  # of newer Pythons
        return None
    told = (function.__name__, function.__qualname__, function.__module__, function.__doc__)
    defaults = function.__defaults__ or ()
    if not _TEXTS.issuperset(map(id, map(type, told))) or not _ATOMS.issuperset(map(id, map(type, defaults))):
        return None
    code, annotations = function.__code__, function.__annotations__
    atoms: list[object] = [*told, len(defaults), *defaults, len(annotations)]
    names: list[str] = []
    of_module = function.__globals__
    for value in chain(annotations, annotations.values(), [of_module.get(name, _MISSING) for name in _named_in(code)]):
        if id(type(value)) in _ATOMS or value is _MISSING:
            atoms.append(value)
        elif value is function:
            atoms.append(_ITSELF)
        elif (name := _name_of(value)) is not None:
            atoms.append(_BY_NAME)
            names.append(name)
        else:
            return None
    imported = _imported()
    if imported is None or cloudpickle.list_registry_pickle_by_value():
        return None
    return Look(code, tuple(atoms), tuple(names), imported)


def find(look: Look) -> Pickled | None:
    """How a function that looks so was pickled, if that was kept."""
    kept = _kept.get(id(look.code))
    if kept is None or kept.code() is not look.code or not kept.look.shows_same(look):
        return None
    return kept.pickled


def keep(look: Look, function: Callable[..., object], pickled: Pickled) -> None:
    """Keep how a function was pickled, if it still looks as it did before."""
    _, payload = pickled
    code = look.code
    if code is None or len(payload.data) > _LARGEST or payload.frames:
        return
    again = look_at(function)
    if again is None or again.code is not code or not again.shows_same(look):
        return  # another thread has changed it meanwhile
    address = id(code)
    forget = weakref.ref(code, lambda _: _kept.pop(address, None))
    _kept[address] = _Kept(forget, look._replace(code=None), pickled)


def _named_in(code: types.CodeType) -> tuple[str, ...]:
    """The globals that a code names, and those that are always sent."""
    names = _globals.get(code)
    if names is None:
        names = _globals[code] = tuple(dict.fromkeys(chain(_OF_MODULE, _look_for_globals(code))))
    return names


def _look_for_globals(code: types.CodeType) -> Iterator[str]:
    """Their names, and those in the codes within it, as cloudpickle looks for them."""
    for instruction in dis.get_instructions(code):
        if instruction.opcode in _GLOBAL:
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _look_for_globals(constant)


def _imported() -> tuple[int, str] | None:
    """Tells whether modules were imported in between. None while another thread imports one."""
    try:
        return len(sys.modules), next(reversed(sys.modules))
    except RuntimeError:
        return None


def _name_of(value: object) -> str | None:
    """By which a module, or a function or class of one, is pickled; None for all else, which is pickled by value."""
    if type(value) is types.ModuleType:
        name = value.__dict__.get("__name__")
        return name if type(name) is str and name != "__main__" and sys.modules.get(name) is value else None
    if id(type(value)) not in _NAMED:
        return None
    where, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if type(where) is not str or where == "__main__" or type(name) is not str:
        return None
    module = sys.modules.get(where)
    if type(module) is not types.ModuleType or module.__dict__.get(name) is not value:
        return None
    return f"{where}:{name}"
