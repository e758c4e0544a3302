"""Doing something as soon as somebody imports a certain module, without importing it for that."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType


class WhenImported:
    """Calls ``found(module)`` once: now if the module has been imported, else as soon as somebody has done so.

    Args:
        name: the module's whole name.
        found: called in the importing thread, when the module is complete.
    """

    def __init__(self, name: str, found: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._found = found
        module = sys.modules.get(name)
        spec = getattr(module, "__spec__", None)
        if module is None or getattr(spec, "_initializing", False):
            sys.meta_path.insert(0, self)
        else:
            found(module)

    def cancel(self) -> None:
        """Do nothing any more when it is imported."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """What Python asks every importer: here it is answered by the usual one, whose work is then followed up."""
        if name != self._name:
            return None
        self.cancel()
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self._found(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
