"""``preload=``: code that a worker or a scheduler runs before it takes part in its cluster.

Each entry is the name of a module, the path of a ``.py`` file, the ``https://`` address of one, or the source itself (a
text of several lines). If it has functions ``dask_setup(service)`` and ``dask_teardown(service)``, they are called at
the start and at the end; they may be coroutine functions. ``preload_argv`` follows the service as further text
arguments; a ``dask_setup`` that is a command of Click's is given what these mean as its options and arguments.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import logging
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbcluster.arguments import check_text

logger = logging.getLogger("nbcluster.cluster")

DOWNLOAD_TIMEOUT = 30.0


def check_preload(name: str, value: object) -> list[str]:
    """Accept what ``preload`` and ``preload_argv`` may be: a text, or a list of them.

    Raises:
        TypeError: names the argument and its value.
    """
    if value is None:
        return []
    values = [value] if isinstance(value, (str, Path)) else value
    if not isinstance(values, (list, tuple)) or not all(isinstance(one, (str, Path)) for one in values):
        raise TypeError(f"{name}={value!r} is not a text or a list of texts")
    if name.startswith("preload") and not name.endswith("argv") and not all(map(str, values)):
        raise ValueError(f"{name}={value!r} names nothing: give modules, files, or source")
    return [check_text(name, str(one)) for one in values]


class Preloads:
    """What one service has preloaded.

    Args:
        names: modules, files, or source.
        argv: further arguments of each ``dask_setup``.
    """

    def __init__(self, names: Sequence[str], argv: Sequence[str] = ()) -> None:
        self._names = list(names)
        self._argv = list(argv)
        self._modules: list[types.ModuleType] = []

    async def start(self, service: Any) -> None:
        """Import everything, and call each ``dask_setup``.

        Raises:
            Exception: what the code raises.
        """
        for name in self._names:
            if name.startswith(("http://", "https://")):
                module = _module_of(await asyncio.to_thread(_download, name), name)
            else:
                module = load(name)
            self._modules.append(module)
            setup = getattr(module, "dask_setup", None)
            if setup is not None:
                await _finished(_call(setup, service, self._argv))

    async def stop(self, service: Any) -> None:
        """Call each ``dask_teardown``, in the reverse order; what one raises is logged. Idempotent."""
        modules, self._modules = self._modules, []
        for module in reversed(modules):
            teardown = getattr(module, "dask_teardown", None)
            if teardown is not None:
                try:
                    await _finished(teardown(service))
                except Exception:
                    logger.exception("dask_teardown of the preload %s failed", module.__name__)


def _call(setup: Any, service: Any, argv: list[str]) -> Any:
    if not (hasattr(setup, "make_context") and callable(getattr(setup, "callback", None))):
        return setup(service, *argv)
    context = setup.make_context("dask_setup", list(argv), allow_extra_args=False)
    return setup.callback(service, *context.args, **context.params)


def load(name: str) -> types.ModuleType:
    """A module by its name, its file, or its source."""
    if "\n" in name or (" " in name and not name.endswith(".py")):
        return _module_of(name, "<preload>")
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"preload={name!r}: there is no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _download(address: str) -> bytes:
    import urllib.request  # only here: with what it imports, it takes more memory than anything else in a worker

    with urllib.request.urlopen(address, timeout=DOWNLOAD_TIMEOUT) as response:
        return bytes(response.read())


def _module_of(source: str | bytes, origin: str) -> types.ModuleType:
    module = types.ModuleType("nbcluster_preload")
    exec(compile(source, origin, "exec"), module.__dict__)
    return module


async def _finished(result: Any) -> None:
    if inspect.isawaitable(result):
        await result
