"""Processes of ours that begin and end without ado: how they import, and how they leave.

- ``import_for_user``: in a user's process, to import what is ours
- ``begin``, ``ready``: in a process of ours, around what it imports
- ``run``: from then on, to its end
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

from nbcluster.garbage import collector_paused

_NEEDLESS = "typing_extensions"
_THE_SAME_IN_TYPING: bool = sys.version_info >= (3, 11)


_exit_code = 1


class _Refuse:
    """Has one module not be found, in one thread; an entry of ``sys.meta_path``."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Called by the import system."""
        if name == _NEEDLESS and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is not needed here", name=name)


def import_for_user(module: str) -> ModuleType:
    """Import a module of ours. Nothing of that is garbage, so the collector does not look at it again and again."""
    with collector_paused():
        _import_msgspec()
        return importlib.import_module(module)


def _import_msgspec() -> None:
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
    atexit.register(_end)  # the first of all, so it is called last
    gc.disable()
    _import_msgspec()


def ready() -> None:
    """All is imported: from now on garbage is collected, but not looked for in what is here already.

    That also keeps the memory of forks shared: the collector writes to everything that it looks at.
    """
    gc.freeze()
    gc.enable()


def run(main: Callable[..., int], *args: Any) -> NoReturn:
    """Run what the process is for, and end it: one that began with :func:`begin`, or a fork of that.

    What ``main`` returns is the exit code.
    Threads are waited for and all that was registered with ``atexit`` is called, as ever. But the interpreter is
    not taken apart then: that takes longer than everything else at the end, and nobody has anything of it.
    """
    global _exit_code
    try:
        _exit_code = main(*args)
    except SystemExit as error:  # of code that is not ours
        _exit_code = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    sys.exit(_exit_code)


def _end() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody reads it, or it is closed
            stream.flush()
    os._exit(_exit_code)
