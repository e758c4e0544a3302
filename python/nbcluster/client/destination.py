"""Where a client goes: what it was told to connect to, which may be about to start, or still to be made."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from nbcluster.client.target import ClusterLike, Target, of_address, of_cluster
from nbcluster.comm import scheduler_file
from nbcluster.comm.finding import wait_for_token
from nbcluster.comm.loop import LoopThread
from nbcluster.comm.security import Security
from nbcluster.errors import TimeoutError
from nbcluster.types import Address, Status

_PAUSE = 0.01
"""Seconds between two looks at a file that is not there yet."""


class Destination(NamedTuple):
    """What was said to ``Client``: an address, a scheduler file, a cluster object, or nothing of these."""

    place: Address | ClusterLike | Target | None
    scheduler_file: str | None = None
    security: Security | None = None
    timeout: float = 30.0
    """Seconds to wait for a file, and for whoever is to listen at an address."""
    cluster_keywords: Mapping[str, Any] = MappingProxyType({})
    """Of the cluster that is made if none is named."""

    def find(self, loop_thread: LoopThread) -> Target:
        """Find the cluster, or make it, in this thread.

        Raises:
            CommError: no cluster of this user's listens at the address.
            RuntimeError: the cluster is closed.
            TimeoutError: the file is not there.
            ValueError: the address is none.
        """
        if self.scheduler_file is not None:
            return loop_thread.sync(self._of_file, self.scheduler_file)
        if isinstance(self.place, str):
            return loop_thread.sync(self._listening_at, self.place)
        if self.place is None:
            from nbcluster.cluster.local import LocalCluster

            return of_cluster(LocalCluster(**self.cluster_keywords), owned=True)
        return _of_object(self.place)

    async def find_async(self) -> Target:
        """The same on an event loop. A cluster object that was not awaited yet starts now."""
        if self.scheduler_file is not None:
            return await self._of_file(self.scheduler_file)
        if isinstance(self.place, str):
            return await self._listening_at(self.place)
        if self.place is None:
            from nbcluster.cluster.local import LocalCluster

            return of_cluster(await LocalCluster(asynchronous=True, **self.cluster_keywords), owned=True)
        cluster: Any = self.place
        if inspect.isawaitable(cluster) and getattr(cluster, "status", "") == Status.CREATED:
            await cluster
        return _of_object(cluster)

    async def _of_file(self, path: str) -> Target:
        """The cluster of a scheduler file, which somebody may be about to write."""
        end = time.monotonic() + self.timeout
        while (address := scheduler_file.read(path)) is None:
            if time.monotonic() > end:
                raise TimeoutError(f"scheduler_file={path!r} was not there after {self.timeout:g} s")
            await asyncio.sleep(_PAUSE)
        return of_address(address, self.security)

    async def _listening_at(self, address: Address) -> Target:
        """The cluster that listens at an address. While nobody does, it is waited for."""
        token = None if self.security is None else self.security.token
        return Target(address, token or await wait_for_token(address, self.timeout))


def _of_object(place: ClusterLike | Target) -> Target:
    return place if isinstance(place, Target) else of_cluster(place, owned=False)
