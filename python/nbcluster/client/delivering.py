"""Large data of a client that shares no memory with its cluster: handed straight to a worker, by the calling thread.

The worker reads it into memory that all of its host share, and says what it is called there; the scheduler gets to know
no more than that name. One worker takes what comes, as long as it can: it fills the same memory again. Which workers
the data is for is not its business: all of them see it.

Where no worker takes it, it is sent through the scheduler as before, and a line in the log says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import TimeoutError as NotInTime

from nbcluster.comm.blocking import BlockingLink
from nbcluster.errors import CommError, SharedDataGoneError
from nbcluster.protocol.delivery import Deliver, Delivered, FindReceivers, Receivers, SenderReply, TakeBack
from nbcluster.protocol.fingerprints import PIECE, Fingerprint
from nbcluster.protocol.payload import Frame
from nbcluster.protocol.records import Message
from nbcluster.protocol.sharing import BlobId
from nbcluster.types import Address, Role

logger = logging.getLogger("nbcluster.client")

PATIENCE = 10.0
"""Seconds that the scheduler has to say who takes data."""

RETRY_AFTER = 30.0
"""Seconds for which all goes through the scheduler after no worker could be reached."""

Ask = Callable[[Callable[[int], Message]], "asyncio.Future[Receivers]"]


class Deliveries:
    """A client's way to give the cluster large data. From any thread but the loop's.

    Args:
        loop: on which the scheduler is asked.
        ask: asks it.
        token: the cluster's token.
        context: for workers whose links are encrypted.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ask: Ask,
        token: bytes,
        context: Callable[[], ssl.SSLContext | None],
    ) -> None:
        self._loop = loop
        self._ask = ask
        self._token = token
        self._context = context
        self._lock = threading.Lock()
        self._link: BlockingLink | None = None
        self._unwanted: deque[tuple[BlockingLink, BlobId]] = deque()
        """What a worker has, and the scheduler will never be told of."""
        self._not_before = 0.0
        self._closed = False
        self.delivered_bytes = 0
        """Bytes that workers took."""

    def __repr__(self) -> str:
        return f"<Deliveries through {self._link}, {self.delivered_bytes} B so far>"

    @property
    def usable(self) -> bool:
        """False on the loop, which must not wait, and for a while after no worker could be reached."""
        if self._closed or time.monotonic() < self._not_before:
            return False
        try:
            return asyncio.get_running_loop() is not self._loop
        except RuntimeError:
            return True

    def share(self, data: memoryview, named: bool = False) -> Frame:
        """Hand bytes to a worker; they may be changed as soon as this returns.

        Args:
            data: the bytes.
            named: hash them meanwhile; the frame knows the fingerprint then.

        Raises:
            CommError: no worker takes them.
            ClosedClientError: there is no scheduler any more.
        """
        flat = data if data.ndim == 1 and data.format == "B" else data.cast("B")
        hashing = _Hashing(flat) if named else None
        try:
            with self._lock:
                self._say_unwanted()
                link, blob = self._deliver(flat)
        finally:
            fingerprint = hashing.result() if hashing is not None else None
        self.delivered_bytes += flat.nbytes
        frame = Frame(None, shared=_Blob(self, link, blob, flat.nbytes))
        frame.fingerprint = fingerprint
        return frame

    def _deliver(self, data: memoryview) -> tuple[BlockingLink, BlobId]:
        link, failed = self._link, list[str]()
        if link is not None and not link.closed:
            try:
                return link, self._hand_over(link, data)
            except CommError as error:
                failed.append(link.address)
                logger.info("%s takes no more data: %s", link.address, error)
        for address in self._receivers():
            if address in failed:
                continue
            try:
                self._link = link = BlockingLink(
                    address, role=Role.SENDER, token=self._token, incoming=SenderReply, context=self._context()
                )
                return link, self._hand_over(link, data)
            except CommError as error:
                failed.append(address)
                logger.info("%s does not take data: %s", address, error)
        self._link = None
        self._not_before = time.monotonic() + RETRY_AFTER
        tried = f"none of {', '.join(failed)} took it" if failed else "no worker shares memory with the scheduler"
        raise CommError(f"{tried}; for {RETRY_AFTER:g} s all data goes through the scheduler")

    def _hand_over(self, link: BlockingLink, data: memoryview) -> BlobId:
        answer = link.ask(Deliver(0, Frame(data)))
        if not isinstance(answer, Delivered):
            link.close()
            raise CommError(answer.reason, address=link.address)
        return answer.blob

    def _receivers(self) -> list[Address]:
        async def ask() -> Receivers:
            return await self._ask(FindReceivers)

        asking = asyncio.run_coroutine_threadsafe(ask(), self._loop)
        try:
            return asking.result(PATIENCE).addresses
        except (TimeoutError, NotInTime) as error:
            asking.cancel()
            raise CommError(f"the scheduler did not say within {PATIENCE:g} s which workers take data") from error

    def unwanted(self, link: BlockingLink, blob: BlobId) -> None:
        """The scheduler will never hear of this: the worker is told now, or when it gets more, or the link ends.

        Called wherever the last reference to it dies.
        """
        self._unwanted.append((link, blob))
        if self._lock.acquire(blocking=False):
            try:
                self._say_unwanted()
            finally:
                self._lock.release()

    def _say_unwanted(self) -> None:
        while self._unwanted:
            link, blob = self._unwanted.popleft()
            if link is self._link and not link.closed:  # with another one it is given up at the other end
                with contextlib.suppress(CommError):
                    link.tell(TakeBack([blob]))

    def close(self) -> None:
        """Hand over no more. A call under way ends with an error. Idempotent."""
        self._closed = True
        link = self._link
        if link is not None:
            link.close()


class _Blob:
    """What a worker has taken: seen by all workers, but not here."""

    __slots__ = ("_blob", "_deliveries", "_getpid", "_link", "_pid", "_told", "nbytes")
    lost = False
    elsewhere = True

    def __init__(self, deliveries: Deliveries, link: BlockingLink, blob: BlobId, nbytes: int) -> None:
        self._deliveries = deliveries
        self._link = link
        self._blob = blob
        self._told = False
        self._getpid = os.getpid  # modules die before the last frames do
        self._pid = os.getpid()
        self.nbytes = nbytes

    def __repr__(self) -> str:
        return f"<blob {self._blob} of {self.nbytes} B, delivered to {self._link.address}>"

    def name(self) -> BlobId:
        """What it is called in a message to the scheduler."""
        self._told = True
        return self._blob

    def open(self) -> memoryview:
        """Not from here."""
        raise SharedDataGoneError(f"{self!r} cannot be seen from this host")

    def __del__(self) -> None:
        if not self._told and self._pid == self._getpid():
            self._deliveries.unwanted(self._link, self._blob)


class _Hashing:
    """Hashes data in a thread of its own, while it is on its way."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._hash = Fingerprint()
        self._done = False
        self._thread: threading.Thread | None = threading.Thread(target=self._run, name="nbcluster-hash", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # there are too many already
            self._thread = None

    def _run(self) -> None:
        for start in range(0, self._data.nbytes, PIECE):
            self._hash.add(start, self._data[start : start + PIECE])
        self._done = True

    def result(self) -> bytes:
        """The fingerprint, once it is there."""
        if self._thread is not None:
            self._thread.join()
        if not self._done:
            self._run()
        return self._hash.digest()
