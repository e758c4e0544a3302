"""Importing no more than is needed, and in the processes that are ours without the garbage collector.

import_msgspec()    in any process, before anything else of ours
begin(), end()      in a process of ours, around what it imports
"""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from typing import Any

_NEEDLESS = "typing_extensions"
_THE_SAME_IN_TYPING: bool = sys.version_info >= (3, 11)


class _Refuse:
    """Has one module not be found, in one thread; an entry of ``sys.meta_path``."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Called by the import system."""
        if name == _NEEDLESS and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is not needed here", name=name)


def import_msgspec() -> None:
    """Import msgspec without ``typing_extensions``, which takes it longer than all the rest.

    It falls back to ``typing``, where since Python 3.11 the three names that it wants are the very same. Whoever
    needs ``typing_extensions`` himself imports it as ever.
    """
    if "msgspec" in sys.modules or _NEEDLESS in sys.modules or not _THE_SAME_IN_TYPING:
        return
    refuse: Any = _Refuse()
    sys.meta_path.insert(0, refuse)
    try:
        importlib.import_module("msgspec")
    finally:
        sys.meta_path.remove(refuse)


def begin() -> None:
    """A process of ours begins to import: nothing of that is garbage, so nobody needs to look for any."""
    gc.disable()
    import_msgspec()


def end() -> None:
    """All is imported: from now on garbage is collected, but not looked for in what is here already.

    That also keeps the memory of forks shared: the collector writes to everything that it looks at.
    """
    gc.freeze()
    gc.enable()
