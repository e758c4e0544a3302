"""Functions of a module that are methods of an object inside it, such as ``random.random`` and ``numpy.random.rand``.

Pickle takes a method for its object and a name, and so each of these would take along the state of the sender's
generator: every worker would draw the same numbers. Here they are pickled by name, as other functions of modules are,
and each process has its own state.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections import ChainMap
from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar

import cloudpickle  # type: ignore[import-untyped]

MARK = b"getattr"
"""What is in a pickle with a method in it."""


def dumps_by_name(value: Any, buffer_callback: Callable[[pickle.PickleBuffer], bool]) -> bytes:
    """Pickle with cloudpickle, but functions of modules by name, whatever they are made of."""
    with io.BytesIO() as file:
        _Pickler(file, protocol=5, buffer_callback=buffer_callback).dump(value)
        return file.getvalue()


def _reduce_method(method: types.MethodType) -> Any:
    return _by_name(method) or (types.MethodType, (method.__func__, method.__self__))


def _reduce_builtin(function: types.BuiltinFunctionType) -> Any:
    return _by_name(function) or function.__reduce__()


def _by_name(function: Any) -> Any:
    """How to pickle it by name; None if its module does not offer it."""
    owner, name = function.__self__, getattr(function, "__name__", None)
    if name is None or owner is None or isinstance(owner, types.ModuleType):
        return None
    module = type(owner).__module__
    offered = getattr(sys.modules.get(module), "__dict__", {}).get(name)
    if module == "__main__" or type(offered) is not type(function) or offered != function:
        return None
    return _imported, (module, name)


def _imported(module: str, name: str) -> Any:
    return vars(import_module(module))[name]


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    dispatch_table: ClassVar[ChainMap[type, Callable[..., Any]]] = ChainMap(
        {types.MethodType: _reduce_method, types.BuiltinFunctionType: _reduce_builtin},
        cloudpickle.Pickler.dispatch_table,
    )
