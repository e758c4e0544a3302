"""What the peer offers in public: its names, their members, and the keywords of each.

Of its servers (``Worker``, ``Nanny``, ``Scheduler``) only how they are made counts: the rest is how it works inside.
"""

from __future__ import annotations

import enum
import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

MADE_ONLY = {"Worker", "Nanny", "Scheduler", "SpecCluster", "SSHCluster"}
"""Classes of which only the constructor is looked at."""

DUNDERS = ("__await__", "__aenter__", "__enter__", "__aiter__", "__iter__", "_repr_html_")
"""Members that are public though their names begin with an underscore."""


@functools.cache
def peer_api() -> dict[str, tuple[str, ...]]:
    """Keywords by name: ``"wait"``, ``"Client"`` (how it is made), ``"Client.submit"``."""
    peer = importlib.import_module("distributed")
    public = {name: getattr(peer, name) for name in sorted(peer.__all__)}
    whole = {name: thing for name, thing in public.items() if inspect.isclass(thing) and _is_whole(name, thing)}
    found: dict[str, tuple[str, ...]] = {}
    for name, thing in public.items():
        if inspect.ismodule(thing):
            continue
        found[name] = () if inspect.isclass(thing) and issubclass(thing, enum.Enum) else keywords_of(thing)
        if name in whole:
            bases = [base for base in whole.values() if base is not thing and issubclass(thing, base)]
            for member in dir(thing):
                if (not member.startswith("_") or member in DUNDERS) and not any(hasattr(b, member) for b in bases):
                    found[f"{name}.{member}"] = keywords_of(inspect.getattr_static(thing, member))
    return found


def _is_whole(name: str, thing: type) -> bool:
    """Whether its members count as well."""
    return name not in MADE_ONLY and not issubclass(thing, (BaseException, enum.Enum))


def keywords_of(thing: Any) -> tuple[str, ...]:
    """The names of what can be given to a function, a method or a class; nothing for all else."""
    if isinstance(thing, (classmethod, staticmethod)):
        thing = thing.__func__
    if not callable(thing) or isinstance(thing, property):
        return ()
    try:
        signature = inspect.signature(_plain(thing))
    except (TypeError, ValueError):
        return ()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(
        name
        for name, parameter in signature.parameters.items()
        if name not in ("self", "cls") and parameter.kind not in kinds
    )


def _plain(thing: Callable[..., Any]) -> Callable[..., Any]:
    return thing.__init__ if inspect.isclass(thing) and "__init__" in vars(thing) else thing
