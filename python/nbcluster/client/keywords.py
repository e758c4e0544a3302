"""Keywords of ``Client`` that are there so that code for dask.distributed runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nbcluster.arguments import check_optional_flag, check_whole
from nbcluster.units import parse_seconds


def check_peer_keywords(
    heartbeat_interval: object,
    serializers: object,
    deserializers: object,
    direct_to_workers: object,
    connection_limit: object,
) -> None:
    """Accept what asks for what is done anyway.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
    """
    if heartbeat_interval is not None:
        if not isinstance(heartbeat_interval, (int, float, str)):
            raise TypeError(f"heartbeat_interval={heartbeat_interval!r} is not a time; leave it out: links need none")
        parse_seconds(heartbeat_interval, "heartbeat_interval")
    for name, value in (("serializers", serializers), ("deserializers", deserializers)):
        if value is not None and (not isinstance(value, (list, tuple)) or "pickle" not in value):
            raise ValueError(f"{name}={value!r} does not allow 'pickle', which is what carries data here; leave it out")
    check_optional_flag("direct_to_workers", direct_to_workers)
    check_whole("connection_limit", connection_limit, least=1)


def make_extensions(extensions: object, client: Any) -> dict[str, Any]:
    """Objects that belong to a client, by name: each is made by calling what is given with the client.

    Raises:
        TypeError: ``extensions`` does not map names to what can be called.
    """
    if not isinstance(extensions, Mapping) or not all(callable(make) for make in extensions.values()):
        raise TypeError(f"extensions={extensions!r} does not map names to classes that take the client")
    makers: Mapping[str, Callable[[Any], Any]] = extensions
    return {str(name): make(client) for name, make in makers.items()}
