"""Finding the secret of a cluster by its address, which may be about to start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nbcluster.comm.addresses import InprocAddress, UnixAddress, parse
from nbcluster.comm.credentials import find_token
from nbcluster.deadlines import within
from nbcluster.errors import CommError
from nbcluster.types import Address

_PAUSE = 0.05
_GRACE = 1.0
"""Seconds for which somebody may listen at an address before it is known whose cluster that is."""
_DIAL = 5.0
"""Seconds that it may take to see whether anybody listens."""


async def wait_for_token(
    address: Address, timeout: float, on_wait: Callable[[CommError], None] = lambda error: None
) -> bytes:
    """The token of this user's cluster that listens at an address. While nobody listens there, it is waited for.

    Args:
        address: the cluster's.
        timeout: seconds; may be infinite.
        on_wait: told again and again that none is there yet.

    Raises:
        CommError: no cluster of this user does, after ``timeout`` seconds or because somebody else's does.
        ValueError: the address is none.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    while True:
        try:
            return find_token(address)
        except CommError as error:
            now = loop.time()
            if now >= end or isinstance(parse(address), InprocAddress):
                raise
            on_wait(error)
            if await _somebody_listens(address, min(end - now, _DIAL)):
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
        _, writer = await within(dialling, timeout, unwanted=lambda dialled: dialled[1].close())
    except (OSError, asyncio.TimeoutError):
        return False
    writer.close()
    return True
