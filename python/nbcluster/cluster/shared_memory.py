"""The memory that the processes of a cluster share: its depot, in the scheduler's process, and who may reach it."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from nbcluster import capacity
from nbcluster.comm.descriptor_server import DescriptorServer
from nbcluster.store import depot_links, segments
from nbcluster.store.depot import Depot, Holder
from nbcluster.store.shared import SharedStore

LAST_MESSAGES = 5.0
"""Seconds in which the scheduler surely reads what a process had sent before it ended."""

SHARED_MOST = 0.6
"""Share of the machine's memory that may be shared; what would be more is sent, and can go to disk."""

SHORT = 0.1
"""Share of the machine's memory that is left when it is short of it: nothing is kept then that could be used again."""


class SharedMemory(NamedTuple):
    """What there is once it is open."""

    depot: Depot
    store: SharedStore
    """The scheduler's own way to it."""
    close: ExitStack


def share_memory(path: Path, token: bytes) -> SharedMemory | None:
    """Open a depot that is reached through a socket; None if this kernel has no such memory."""
    if not segments.AVAILABLE:
        return None
    segments.allow_many_descriptors()
    stack = ExitStack()
    depot = Depot(int(SHARED_MOST * capacity.memory().value), capacity.Shortage(SHORT))
    stack.callback(depot.close)
    loop = asyncio.get_running_loop()

    def leave(holder: Holder) -> None:
        depot.leave(holder)
        if holder.in_transit:  # of these its last messages tell, which lie unread at another socket
            loop.call_later(LAST_MESSAGES, depot.forget, holder)

    with stack as undo:
        server = DescriptorServer(
            path,
            token,
            join=depot.join,
            answer=depot.answer,
            leave=leave,
            lingers=lambda holder: bool(holder.held),
        )
        undo.callback(server.close)
        store = SharedStore(depot_links.LocalDepotLink(depot), keep=True)
        undo.callback(store.close)
        depot_links.announce(str(path), depot)
        undo.callback(depot_links.withdraw, str(path))
        return SharedMemory(depot, store, undo.pop_all())
