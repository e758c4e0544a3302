"""Which schedulers an event loop of this process serves: who blocks that loop cannot wait for them."""

from __future__ import annotations

import asyncio

from nbcluster.types import Address

_loops: dict[Address, asyncio.AbstractEventLoop] = {}


def serve(address: Address) -> None:
    """From now on the running loop serves this address."""
    _loops[address] = asyncio.get_running_loop()


def serve_no_more(address: Address) -> None:
    """The opposite."""
    _loops.pop(address, None)


def is_served_here(address: Address) -> bool:
    """True if the caller's own event loop serves this address."""
    try:
        return _loops.get(address) is asyncio.get_running_loop()
    except RuntimeError:
        return False
