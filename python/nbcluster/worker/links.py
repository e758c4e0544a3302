"""The links of a worker: to its scheduler, and from its peers."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from ssl import SSLContext

from nbcluster.comm import tls_contexts
from nbcluster.comm.base import Connection, Listener
from nbcluster.comm.transports import connect, listen
from nbcluster.protocol.delivery import SenderRequest
from nbcluster.protocol.messages import PeerRequest, ToWorker
from nbcluster.store.shared import SharedStore
from nbcluster.types import Address, Role
from nbcluster.worker.config import WorkerConfig


async def connect_to_scheduler(
    config: WorkerConfig, token: bytes, ssl: SSLContext | None, shared: SharedStore | None
) -> Connection:
    """Connect, with the memory that the worker and its scheduler share, if they do.

    Raises:
        CommError: the scheduler does not answer, or refuses.
    """
    connection = await connect(
        config.scheduler,
        role=Role.WORKER,
        token=token,
        incoming=ToWorker,
        timeout=config.connect_timeout,
        ssl=ssl if config.scheduler.startswith("tls://") else None,
    )
    if shared is not None:
        connection.same_host = True  # whichever way we came: it is the scheduler that we share with
        connection.share(shared)
    return connection


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
