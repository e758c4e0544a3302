"""Links to the workers that hold data: for workers, and for clients, that fetch it.

A pool makes a link when something is first fetched from an address, keeps it for the next time, and forgets
it when it is lost. Whoever fetches may be cancelled; the links are the pool's, and end with it.

A worker of this very process is reached through memory, whatever its address: it can hand out live objects.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import Callable
from typing import Any

from nbcluster.comm.base import Connection
from nbcluster.comm.tasks import TaskOwner
from nbcluster.comm.transports import connect
from nbcluster.errors import CommClosedError, CommError
from nbcluster.protocol.buffers import Allocate
from nbcluster.protocol.messages import Data, DataItem, GetData, PeerReply
from nbcluster.protocol.payload import SharedMemory
from nbcluster.protocol.records import Message
from nbcluster.types import Address, Key, Role

CONNECT_TIMEOUT = 10.0

_in_this_process: dict[Address, Address] = {}


def announce_shortcut(address: Address, inproc_address: Address) -> None:
    """What listens at this address also does so at an ``inproc://`` one: links from this process use that."""
    _in_this_process[address] = inproc_address


def withdraw_shortcut(address: Address) -> None:
    """It no longer does. Idempotent."""
    _in_this_process.pop(address, None)


class PeerPool:
    """Fetches data from workers.

    Args:
        token: the cluster's token.
        ssl: for ``tls://`` addresses.
        connect_timeout: seconds after which a worker that does not answer counts as gone.
    """

    shared: SharedMemory | None = None
    """The memory that this process shares with the workers of its host."""
    who: Address = ""
    """The worker whose pool it is; empty: a client's."""

    allocate: Allocate | None = None
    """Where large data is read to, if not to memory that is made for it."""

    def __init__(
        self,
        token: bytes,
        *,
        ssl: tls.SSLContext | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
    ) -> None:
        self._token = token
        self.ssl = ssl
        self._connect_timeout = connect_timeout
        self._links: dict[Address, asyncio.Task[_PeerLink | CommError]] = {}
        self._owner = TaskOwner("peer pool")
        self._closed = False

    def __repr__(self) -> str:
        return f"<PeerPool of {len(self._links)} links>"

    async def fetch(self, address: Address, keys: list[Key]) -> tuple[list[DataItem], list[Key]]:
        """Ask a worker for data.

        Returns:
            What it holds of it, and the keys that it does not hold.

        Raises:
            CommError: it cannot be reached, or was lost before it answered.
        """
        shared = self.shared is not None
        answer: Data = await self.ask(address, lambda request: GetData(request, keys, shared, self.who))
        return answer.items, answer.missing

    async def ask(self, address: Address, make: Callable[[int], Message]) -> Any:
        """Ask a worker anything; ``make`` makes the message of its number. Returns the answer.

        What is asked in some order arrives in that order.

        Raises:
            CommError: it cannot be reached, or was lost before it answered.
        """
        if self._closed:
            raise CommClosedError(f"cannot fetch from {address}: this pool of links is closed")
        making = self._links.get(address)
        if making is None:
            making = self._owner.start(self._connect(address), f"connect to {address}")
            self._links[address] = making
        link = await asyncio.shield(making)
        if isinstance(link, CommError):
            if self._links.get(address) is making:
                del self._links[address]
            raise link
        return await link.ask(make)

    async def close(self) -> None:
        """Close all links; who still waits for an answer gets a ``CommClosedError``. Idempotent."""
        self._closed = True
        links, self._links = self._links, {}
        await self._owner.close()
        for making in links.values():
            if not making.cancelled() and isinstance(link := making.result(), _PeerLink):
                await link.connection.close()

    async def _connect(self, address: Address) -> _PeerLink | CommError:
        try:
            connection = await connect(
                _in_this_process.get(address, address),
                role=Role.PEER,
                token=self._token,
                incoming=PeerReply,
                timeout=self._connect_timeout,
                retry=False,
                ssl=self.ssl if address.startswith("tls://") else None,
            )
        except CommError as error:
            return error
        except ValueError as error:
            return CommError(f"cannot fetch from there: {error}", address=address)
        if self.shared is not None:
            connection.share(self.shared)
        if self.allocate is not None:
            connection.read_into(self.allocate)
        return _PeerLink(self, address, connection)

    def _lost(self, address: Address) -> None:
        self._links.pop(address, None)


class _PeerLink:
    """One link, and the questions that are open on it."""

    def __init__(self, pool: PeerPool, address: Address, connection: Connection) -> None:
        self.connection = connection
        self._pool = pool
        self._address = address
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._requests = 0
        self._loop = asyncio.get_running_loop()
        connection.start(self)

    async def ask(self, make: Callable[[int], Message]) -> Any:
        self._requests += 1
        request = self._requests
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._open[request] = answer
        try:
            self.connection.send(make(request))
            return await answer
        finally:
            self._open.pop(request, None)

    def received(self, messages: list[Any]) -> None:
        for message in messages:
            answer = self._open.get(message.request)
            if answer is not None and not answer.done():  # else nobody waits for it any more
                answer.set_result(message)

    def lost(self, error: Exception | None) -> None:
        self._pool._lost(self._address)
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(CommClosedError(f"{self._address} went away before it answered ({error})"))
