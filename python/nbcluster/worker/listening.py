"""Where a worker listens for its peers, and how they reach it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from nbcluster.types import Address
from nbcluster.worker.config import WorkerConfig


async def listen_at_first(config: WorkerConfig, listen: Callable[[Address], Awaitable[Address]]) -> Address:
    """Listen at the first port that is free. Returns the address by which peers reach it.

    Args:
        config: the worker's: ``listen``, with ``ports`` to choose from, and ``contact``.
        listen: listens at an address, and returns it with the port filled in.

    Raises:
        OSError: none is free.
    """
    host, contact = config.listen.rpartition(":")[0], config.contact
    tries = [f"{host}:{port}" for port in config.ports] or [config.listen]
    for address in tries[:-1]:
        with contextlib.suppress(OSError):
            listening = await listen(address)
            break
    else:
        listening = await listen(tries[-1])
    return contact[:-1] + listening.rpartition(":")[2] if contact.endswith(":0") else contact or listening
