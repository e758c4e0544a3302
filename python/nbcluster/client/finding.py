"""Finding a cluster by its address, which may be about to start."""

from __future__ import annotations

from nbcluster.client.target import Target
from nbcluster.comm.finding import wait_for_token
from nbcluster.comm.security import Security
from nbcluster.types import Address


async def find_target(address: Address, security: Security | None, timeout: float) -> Target:
    """The cluster that listens at an address. While nobody does, it is waited for.

    Raises:
        CommError: none of this user's does, after ``timeout`` seconds or because somebody else's does.
        ValueError: the address is none.
    """
    token = None if security is None else security.token
    return Target(address, token or await wait_for_token(address, timeout))
