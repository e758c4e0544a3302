"""Serves what this worker holds to those who fetch it: other workers, and clients.

What is already pickled, small, or passed as a live object within this process is answered at once; large
objects are pickled in a thread of their own, so that the loop stays free. To others on this host they are not sent:
the first time that one is asked for it moves into shared memory, where everybody sees it from then on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from nbcluster.comm.base import Connection
from nbcluster.comm.tasks import TaskOwner
from nbcluster.errors import CommClosedError, CommError, SerializationError, SharedDataGoneError
from nbcluster.protocol.actors import CallActor, ReadActor
from nbcluster.protocol.exceptions import dump_raising
from nbcluster.protocol.messages import Data, DataItem, GetData
from nbcluster.protocol.payload import Payload
from nbcluster.store.memory import Datum, MemoryStore
from nbcluster.store.shared import SharedStore
from nbcluster.store.spill import SpillError
from nbcluster.types import Key, Role
from nbcluster.worker.deliveries import Deliveries
from nbcluster.worker.transfer_log import TransferLog

logger = logging.getLogger(__name__)

AT_ONCE = 1 << 20
"""Bytes up to which a request is answered on the loop."""


class DataServer:
    """The holder's side of peer links.

    Args:
        store: what is held.
        shared: the memory that the processes of this host share; None if they share none.
        on_shared: told of results that have moved there, and of data that nobody holds any more but that moved.
        on_request: called before a request is answered: what has just been computed may not be in the store yet.
        on_actor: carries out what is asked of an actor.
    """

    def __init__(
        self,
        store: MemoryStore,
        shared: SharedStore | None = None,
        on_shared: Callable[[list[DataItem]], None] = lambda items: None,
        on_request: Callable[[], None] = lambda: None,
        on_actor: Callable[[Connection, Any], None] = lambda connection, message: None,
    ) -> None:
        self._store = store
        self._shared = shared
        self._on_shared = on_shared
        self._on_request = on_request
        self._on_actor = on_actor
        self.log = TransferLog()
        """What went to others."""
        self._links: set[Connection] = set()
        self._unsent = 0
        self._owner = TaskOwner("data server")
        self._pickler = ThreadPoolExecutor(1, "nbcluster-pickle")
        self._deliveries = Deliveries(shared, self._owner, self._pickler)

    def accept(self, connection: Connection) -> None:
        """Serve a new link."""
        if connection.role == Role.SENDER:
            self._deliveries.accept(connection, self.forget)
            self._links.add(connection)
            return
        self._links.add(connection)
        if self._shared is not None:
            connection.share(self._shared)
        connection.start(_Session(self, connection))

    async def close(self) -> None:
        """Close all links, answered or not. Idempotent."""
        await self._owner.close()
        links, self._links = self._links, set()
        for link in links:
            await link.close()
        self._pickler.shutdown(wait=False, cancel_futures=True)

    def is_sending(self) -> bool:
        """True while others take what was sent. False if they have taken none of it since this was last asked."""
        before, self._unsent = self._unsent, sum(link.pending_bytes for link in self._links)
        return self._unsent not in (0, before)

    def forget(self, connection: Connection) -> None:
        """A link has ended."""
        self._links.discard(connection)

    def answer(self, connection: Connection, request: GetData | CallActor | ReadActor) -> None:
        """Send what is here of what a peer asks for."""
        self._on_request()
        if not isinstance(request, GetData):
            self._on_actor(connection, request)
            return
        began = time.time()
        if self._shared is not None and not connection.in_process and request.shares != connection.same_host:
            connection.same_host = request.shares  # whichever way it came
            connection.share(self._shared)
        found: list[tuple[Key, Datum]] = []
        missing: list[Key] = []
        to_pickle = 0
        for key in request.keys:
            datum = self._store.get(key)
            if datum is None:
                missing.append(key)
                continue
            found.append((key, datum))
            if datum.is_spilled:
                to_pickle += AT_ONCE + 1  # not on the loop, however small
            elif not datum.is_pickled:
                to_pickle += datum.nbytes
        if connection.in_process:
            items = [DataItem(key, _live(datum), datum.nbytes, datum.type_name) for key, datum in found]
            self._reply(connection, request, items, missing, began)
        elif to_pickle <= AT_ONCE:
            self._reply(connection, request, _pickle(found), missing, began)
        else:
            self._owner.start(self._answer_later(connection, request, found, missing, began), "pickle")

    async def move(self, key: Key) -> None:
        """Move a result into shared memory, unless it is there or nowhere."""
        datum = self._store.get(key)
        if datum is not None and datum.own_nbytes and self._shared is not None:
            found = [(key, datum)]
            loop = asyncio.get_running_loop()
            self._move(found, await loop.run_in_executor(self._pickler, _pickle, found, self._shared))

    async def _answer_later(
        self,
        connection: Connection,
        request: GetData,
        found: list[tuple[Key, Datum]],
        missing: list[Key],
        began: float,
    ) -> None:
        try:
            items = await self._pickled(found, self._shared if connection.same_host else None)
        except Exception as error:  # whoever waits must hear of it, whatever it is
            items = [_failed(key, datum, error) for key, datum in found]
        there = {item.key for item in items}
        missing = missing + [key for key, _ in found if key not in there]
        self._reply(connection, request, items, missing, began)

    def _reply(
        self, connection: Connection, request: GetData, items: list[DataItem], missing: list[Key], began: float
    ) -> None:
        _send(connection, Data(request.request, items, missing))
        self.log.note(request.who, items, began)

    async def _pickled(self, found: list[tuple[Key, Datum]], share: SharedStore | None) -> list[DataItem]:
        items = await asyncio.get_running_loop().run_in_executor(self._pickler, _pickle, found, share)
        if share is not None:
            self._move(found, items)
        return items

    def _move(self, found: list[tuple[Key, Datum]], items: list[DataItem]) -> None:
        """Hold in shared memory what is there now, and no longer beside it."""
        moved = []
        data = dict(found)
        for item in items:
            key, datum = item.key, data[item.key]
            if item.payload.is_shared and (datum.own_nbytes or datum.is_spilled):
                moved.append(item)
                if self._store.get(key) is datum:
                    shared = Datum.pickled(item.payload, datum.nbytes, datum.type_name)
                    shared.moved = shared.own_nbytes == 0
                    self._store.put(key, shared)
        if moved:
            self._on_shared(moved)

    def tidy(self) -> None:
        """Give back shared memory that nobody uses any more, without a pause for the loop."""
        if self._shared is not None and self._shared.untidy:
            self._pickler.submit(_tidy, self._shared)


class _Session:
    """One link."""

    def __init__(self, server: DataServer, connection: Connection) -> None:
        self._server = server
        self._connection = connection

    def received(self, messages: list[Any]) -> None:
        for message in messages:
            self._server.answer(self._connection, message)

    def lost(self, error: Exception | None) -> None:
        self._server.forget(self._connection)


def _pickle(found: list[tuple[Key, Datum]], share: SharedStore | None = None) -> list[DataItem]:
    """What can be read; what was on disk and cannot be read any more is left out."""
    items = []
    for key, datum in found:
        try:
            items.append(DataItem(key, _dump(datum, share), datum.nbytes, datum.type_name))
        except SpillError as error:
            logger.warning("%s has to be computed again: %s", key, str(error))  # its frames hold the file
        except Exception as error:  # it is nobody else's fault
            items.append(_failed(key, datum, error))
    return items


def _failed(key: Key, datum: Datum, error: Exception) -> DataItem:
    """In place of a result that cannot be had: whoever uses it gets the error."""
    logger.error("Could not serve %s", key, exc_info=error)
    return DataItem(key, dump_raising(_why(key, error)), datum.nbytes, datum.type_name)


def _why(key: Key, error: Exception) -> Exception:
    return SerializationError(f"{key} cannot be had from its worker: {type(error).__name__}: {error}", path="result")


def _dump(datum: Datum, share: SharedStore | None) -> Payload:
    try:
        payload = datum.dump(share)
        if share is not None:
            payload = _share(payload, share)
            if payload.is_shared:
                datum.shared_as(payload)
        return payload
    except (SerializationError, OSError) as error:
        return dump_raising(error)  # whoever asks for the result gets to know why it cannot have it


def _share(payload: Payload, share: SharedStore) -> Payload:
    try:
        return share.share_payload(payload)
    except (OSError, CommError) as error:  # no memory, no descriptor: sending needs less
        logger.warning("Could not share %d bytes, which are sent instead: %s", payload.nbytes, error)
        return payload


def _tidy(shared: SharedStore) -> None:
    try:
        shared.tidy()
    except CommError as error:  # the cluster is gone, and soon so are we
        logger.debug("Could not tidy: %s", error)


def _live(datum: Datum) -> Payload:
    try:
        return Payload.of_live(datum.load())
    except SerializationError as error:
        return dump_raising(error)


def _send(connection: Connection, answer: Data) -> None:
    try:
        connection.send(answer)
    except CommClosedError:
        pass  # who asked is gone
    except SharedDataGoneError:  # it was to be sent from shared memory
        connection.send(Data(answer.request, [], [*answer.missing, *(item.key for item in answer.items)]))
    except Exception as error:  # e.g. it is too large for the link
        logger.error("Could not send %s", ", ".join(item.key for item in answer.items), exc_info=error)
        items = [
            DataItem(item.key, dump_raising(_why(item.key, error)), item.nbytes, item.type_name)
            for item in answer.items
        ]
        connection.send(Data(answer.request, items, answer.missing))
