"""What users have set in dask's configuration under the peer's names, as the keywords here that mean the same.

Dask is not imported for it: its files and variables count once somebody has imported it. What is as dask's defaults
have it was not set by anybody, and a keyword that is given goes before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

CLUSTERS = {
    "resources": "distributed.worker.resources",
    "memory_target_fraction": "distributed.worker.memory.target",
    "memory_spill_fraction": "distributed.worker.memory.spill",
    "memory_pause_fraction": "distributed.worker.memory.pause",
    "memory_terminate_fraction": "distributed.worker.memory.terminate",
    "lifetime": "distributed.worker.lifetime.duration",
    "lifetime_stagger": "distributed.worker.lifetime.stagger",
    "lifetime_restart": "distributed.worker.lifetime.restart",
    "preload": "distributed.worker.preload",
    "preload_argv": "distributed.worker.preload-argv",
    "env": "distributed.nanny.environ",
    "local_directory": "temporary-directory",
    "blocked_handlers": "distributed.scheduler.blocked-handlers",
}
SCHEDULERS = {
    "allowed_failures": "distributed.scheduler.allowed-failures",
    "idle_timeout": "distributed.scheduler.idle-timeout",
    "preload": "distributed.scheduler.preload",
    "preload_argv": "distributed.scheduler.preload-argv",
    "contact_address": "distributed.scheduler.contact-address",
}
CLIENTS = {"timeout": "distributed.comm.timeouts.connect"}
ADAPTIVE = {
    "minimum": "distributed.adaptive.minimum",
    "maximum": "distributed.adaptive.maximum",
    "interval": "distributed.adaptive.interval",
    "wait_count": "distributed.adaptive.wait-count",
    "target_duration": "distributed.adaptive.target-duration",
}

_MISSING = object()


def keywords_set(names: Mapping[str, str]) -> dict[str, Any]:
    """The keywords for which something is set.

    Args:
        names: each keyword with the name of its setting.
    """
    config: Any = sys.modules.get("dask.config")
    if config is None or not hasattr(config, "refresh"):  # then it is being imported
        return {}
    found = {keyword: config.get(name, None) for keyword, name in names.items()}
    return {
        keyword: value
        for keyword, value in found.items()
        if value is not None and value != _usual(config, names[keyword])
    }


def _usual(config: Any, name: str) -> object:
    """What dask's defaults have a setting as. Every client asks, and to merge them all for it would take long."""
    values = [config.get(name, _MISSING, config=defaults) for defaults in config.defaults]
    values = [value for value in values if value is not _MISSING]
    if len(values) > 1:
        return config.merge(*({name: value} for value in values))[name]
    return values[0] if values else None


def of_cluster(given: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a cluster: those that are given, and those that are set."""
    keywords = {**keywords_set(CLUSTERS), **given}
    for keyword, names in (("env", {"env": CLUSTERS["env"]}), ("scheduler_kwargs", SCHEDULERS)):
        own, found = given.get(keyword), keywords_set(names)
        found = found.get(keyword, found)
        if found and isinstance(found, Mapping) and (own is None or isinstance(own, Mapping)):
            keywords[keyword] = {**found, **(own or {})}  # both count: they are many settings in one keyword
    return keywords


@contextmanager
def named(given: Mapping[str, Any], names: Mapping[str, str] = CLUSTERS) -> Iterator[None]:
    """Have errors over a keyword that was not given name the setting that it comes from."""
    try:
        yield
    except (TypeError, ValueError) as error:
        found = keywords_set(names)
        for keyword in found:
            if keyword not in given and str(error).startswith(f"{keyword}="):
                raise type(error)(f"{error} (dask's configuration has it as {names[keyword]!r})") from None
        raise
