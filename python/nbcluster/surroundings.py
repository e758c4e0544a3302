"""What the workers of a cluster take over from the process that makes it: environment variables, and dask's settings.

Workers read the same configuration files as this process, and have the same variables; but what ``dask.config.set`` has
changed here they would not know. Dask itself reads such changes from a variable when it is imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

_VARIABLE = "DASK_INTERNAL_INHERIT_CONFIG"
_OWN = ("scheduler", "shuffle")
"""Settings that say how this process computes, and not how its tasks do."""
_OF_CLIENTS = {"dataframe": {"shuffle": {"method": "tasks"}}}
"""What a client sets here, it sets where tasks run as well."""


def environment() -> dict[str, str]:
    """The environment variables for workers; dask is not imported for that."""
    environ = dict(os.environ)
    config: Any = sys.modules.get("dask.config")
    if config is not None and hasattr(config, "refresh"):  # else it is being imported
        inherited = environ.pop(_VARIABLE, None)
        usual = config.merge(*config.defaults, config.collect(env=environ))
        changed = _changes(config.config, usual)
        for name in _OWN:
            changed.pop(name, None)
        changed = _changes(changed, _OF_CLIENTS)
        if changed:
            environ[_VARIABLE] = config.serialize(changed)
        elif inherited is not None:
            environ[_VARIABLE] = config.serialize({})
    return environ


def _changes(now: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """What is set to something else than usual; objects that no configuration file could have are left out."""
    changed: dict[str, Any] = {}
    for name, value in now.items():
        before = usual.get(name)
        if isinstance(value, Mapping):
            inner = _changes(value, before if isinstance(before, Mapping) else {})
            if inner:
                changed[name] = inner
        elif _is_plain(value) and (name not in usual or before != value):
            changed[name] = value
    return changed


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_plain(one) for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, int, float))
