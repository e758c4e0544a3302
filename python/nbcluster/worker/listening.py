"""Where a worker listens for its peers, and how they reach it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from nbcluster.comm import tls_contexts
from nbcluster.comm.base import Connection, Listener
from nbcluster.comm.transports import listen
from nbcluster.protocol.delivery import SenderRequest
from nbcluster.protocol.messages import PeerRequest
from nbcluster.types import Address, Role
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


async def listen_for_peers(
    config: WorkerConfig, address: Address, token: bytes, accept: Callable[[Connection], None]
) -> Listener:
    """Listen at an address for other workers and clients, who want data or have some.

    Raises:
        OSError: it is taken.
    """
    identity = config.tls if address.startswith("tls://") else None
    return await listen(
        address,
        token=token,
        incoming={Role.PEER: PeerRequest, Role.SENDER: SenderRequest},
        on_connection=accept,
        ssl=None if identity is None else tls_contexts.listening(identity),
    )
