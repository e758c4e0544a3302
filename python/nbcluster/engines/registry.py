"""Engines by name: the one place where the name of an engine turns into one.

``native`` is ours; a package that brings another one declares an entry point in the group
``nbcluster.engines``, which names a function from :class:`EngineSpec` to an engine.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from nbcluster.engines.base import Engine

GROUP = "nbcluster.engines"


class EngineSpec(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What an engine is made from: which cluster, where its code runs, and how large it is."""

    id: str
    """Names the cluster for good; whoever asks for the engine chooses it."""
    name: str
    executable: str = msgspec.field(default_factory=lambda: sys.executable)
    """The interpreter of its processes: the kernel's."""
    cwd: str = msgspec.field(default_factory=os.getcwd)
    sys_path: list[str] | None = None
    """None: what the interpreter has by itself."""
    environment: dict[str, str] = msgspec.field(default_factory=lambda: dict(os.environ))
    keywords: dict[str, Any] = {}
    """Those of ``LocalCluster`` that are plain values."""
    pickled_keywords: bytes = b""
    """A pickled dictionary of more: to be opened by the cluster's process, and by nobody on the way."""
    max_workers: int | None = None
    """What an administrator allows, whoever asks for more."""


Factory = Callable[[EngineSpec], Engine]

_factories: dict[str, Factory] = {}
_built_in = {"native": "nbcluster.engines.native:create"}


def register(name: str, factory: Factory) -> None:
    """Make an engine known in this process; it takes precedence over what is installed."""
    _factories[name] = factory


def unregister(name: str) -> None:
    """Undo :func:`register`."""
    _factories.pop(name, None)


def find(name: str) -> Factory:
    """What makes engines of a name. The first time it may import much: call it off the loop.

    Raises:
        ValueError: there is no engine of this name.
    """
    if name in _factories:
        return _factories[name]
    if name in _built_in:
        module, _, attribute = _built_in[name].partition(":")
        built_in: Factory = getattr(importlib.import_module(module), attribute)
        return built_in
    from importlib import metadata  # large, and seldom needed

    installed = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
    if name in installed:
        factory: Factory = installed[name].load()
        return factory
    known = sorted({*_factories, *_built_in, *installed})
    raise ValueError(f"there is no engine {name!r}; there are {', '.join(known)}")
