"""Finding a cluster by its address, which may be about to start."""

from __future__ import annotations

import asyncio

from nbcluster.client.target import Target, of_address
from nbcluster.comm.addresses import InprocAddress, UnixAddress, parse
from nbcluster.comm.security import Security
from nbcluster.errors import CommError
from nbcluster.types import Address

_PAUSE = 0.05
_GRACE = 1.0
"""Seconds for which somebody may listen at an address before it is known whose cluster that is."""


async def find_target(address: Address, security: Security | None, timeout: float) -> Target:
    """The cluster that listens at an address. While nobody does, it is waited for.

    Raises:
        CommError: none of this user's does, after ``timeout`` seconds or because somebody else's does.
        ValueError: the address is none.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    while True:
        try:
            return of_address(address, security)
        except CommError:
            now = loop.time()
            if now >= end or isinstance(parse(address), InprocAddress):
                raise
            if await _somebody_listens(address, end - now):
                end = min(end, now + _GRACE)
        await asyncio.sleep(_PAUSE)


async def _somebody_listens(address: Address, timeout: float) -> bool:
    parsed = parse(address)
    assert not isinstance(parsed, InprocAddress)
    try:
        if isinstance(parsed, UnixAddress):
            dialling = asyncio.open_unix_connection(parsed.path)
        else:
            dialling = asyncio.open_connection(parsed.host, parsed.port)
        _, writer = await asyncio.wait_for(dialling, timeout)
    except (OSError, asyncio.TimeoutError):
        return False
    writer.close()
    return True
