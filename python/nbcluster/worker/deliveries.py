"""Large data that clients hand to this worker because they share no memory with the cluster: it shares it for them.

The bytes are read from the link to where they stay. What has been published is the scheduler's as soon as that has read
of it; the client tells it. Until then it is kept for as long as the client is there, and a little longer: what the
client has told may still be on its way.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from nbcluster.comm.base import Connection
from nbcluster.comm.tasks import TaskOwner
from nbcluster.errors import CommClosedError, CommError
from nbcluster.protocol.buffers import Target, allocated
from nbcluster.protocol.delivery import Deliver, Delivered, NotDelivered, TakeBack
from nbcluster.protocol.payload import Frame
from nbcluster.protocol.sharing import BlobId
from nbcluster.store.arrivals import Arrival
from nbcluster.store.shared import SharedStore

logger = logging.getLogger(__name__)

LAST_MESSAGES = 5.0
"""Seconds in which the scheduler surely reads what a client had sent before it ended."""

REMEMBERED = 10_000
"""Blobs of one link that are given back when it ends: of more than these the scheduler has long read."""


class Deliveries:
    """What arrives for all of the host.

    Args:
        shared: the memory that the processes of this host share; None: nothing is taken.
        owner: of the tasks in which that happens.
        threads: in which it is published.
    """

    def __init__(self, shared: SharedStore | None, owner: TaskOwner, threads: Executor) -> None:
        self._shared = shared
        self._owner = owner
        self._threads = threads

    def accept(self, connection: Connection, on_end: Callable[[Connection], None]) -> None:
        """Serve a new link of a sender; ``on_end`` is told when it has ended."""
        _Sender(connection, self._shared, self._owner, self._threads, on_end)


class _Sender:
    """One link: what is arriving on it, and what has arrived."""

    def __init__(
        self,
        connection: Connection,
        shared: SharedStore | None,
        owner: TaskOwner,
        threads: Executor,
        on_end: Callable[[Connection], None],
    ) -> None:
        self._on_end = on_end
        self._connection = connection
        self._shared = shared
        self._owner = owner
        self._threads = threads
        self._arriving: list[Arrival] = []
        self._arrived: deque[BlobId] = deque(maxlen=REMEMBERED)
        if shared is not None:
            connection.read_into(self._expect)
        connection.start(self)

    def _expect(self, nbytes: int) -> Target:
        """Memory for a large buffer, as the link begins to read it."""
        try:
            arrival = None if self._shared is None else self._shared.expect(nbytes)
        except CommError as error:
            logger.warning("There is no shared memory for %d bytes that arrive: %s", nbytes, error)
            arrival = None
        if arrival is None:
            return allocated(nbytes)
        self._arriving.append(arrival)
        return arrival

    def received(self, messages: list[Any]) -> None:
        """Data that is complete now, and what nobody needs after all."""
        for message in messages:
            if isinstance(message, Deliver):
                self._owner.start(self._publish(message), "publish what was delivered")
            else:
                assert isinstance(message, TakeBack)
                if self._shared is not None:
                    self._shared.withdraw(message.blobs)

    async def _publish(self, message: Deliver) -> None:
        arrival = next((one for one in self._arriving if one.view is message.frame.buffer), None)
        if arrival is not None:
            self._arriving.remove(arrival)
        answer: Delivered | NotDelivered
        if self._shared is None:
            answer = NotDelivered(message.request, "this worker shares no memory with others")
        else:
            try:
                loop = asyncio.get_running_loop()
                frame = await loop.run_in_executor(self._threads, _put, self._shared, arrival, message.frame)
            except OSError as error:  # as every CommError is
                logger.warning("Could not share %d bytes that were delivered: %s", message.frame.nbytes, error)
                answer = NotDelivered(message.request, f"it could not be shared: {error}")
            except Exception as error:  # who waits must hear of it, whatever it is
                logger.exception("Could not share %d bytes that were delivered", message.frame.nbytes)
                answer = NotDelivered(message.request, f"it could not be shared: {error!r}")
            else:
                assert frame.shared is not None
                answer = Delivered(message.request, frame.shared.name())
                self._arrived.append(answer.blob)
        try:
            self._connection.send(answer)
        except CommClosedError:  # the client is gone, and tells nobody of it any more
            self._forget()

    def lost(self, error: Exception | None) -> None:
        """The client is gone, or has nothing more to deliver."""
        self._on_end(self._connection)
        if self._shared is None:
            return
        for arrival in self._arriving:
            self._shared.give_up(arrival)
        self._arriving.clear()
        asyncio.get_running_loop().call_later(LAST_MESSAGES, self._forget)

    def _forget(self) -> None:
        assert self._shared is not None
        self._shared.withdraw(list(self._arrived))
        self._arrived.clear()


def _put(shared: SharedStore, arrival: Arrival | None, frame: Frame) -> Frame:
    return shared.share(memoryview(frame.open())) if arrival is None else shared.settle(arrival)
