"""Serves what this worker holds to those who fetch it: other workers, and clients.

What is already pickled, small, or passed as a live object within this process is answered at once; large
objects are pickled in a thread of their own, so that the loop stays free.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from nbcluster.comm.base import Connection
from nbcluster.comm.tasks import TaskOwner
from nbcluster.errors import CommClosedError, SerializationError
from nbcluster.protocol.exceptions import dump_raising
from nbcluster.protocol.messages import Data, DataItem, GetData
from nbcluster.protocol.payload import Payload
from nbcluster.store.memory import Datum, MemoryStore
from nbcluster.types import Key

AT_ONCE = 1 << 20
"""Bytes up to which a request is answered on the loop."""


class DataServer:
    """The holder's side of peer links."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._links: set[Connection] = set()
        self._owner = TaskOwner("data server")
        self._pickler = ThreadPoolExecutor(1, "nbcluster-pickle")

    def accept(self, connection: Connection) -> None:
        """Serve a new link."""
        self._links.add(connection)
        connection.start(_Session(self, connection))

    async def close(self) -> None:
        """Close all links, answered or not. Idempotent."""
        await self._owner.close()
        links, self._links = self._links, set()
        for link in links:
            await link.close()
        self._pickler.shutdown(wait=False, cancel_futures=True)

    def forget(self, connection: Connection) -> None:
        """A link has ended."""
        self._links.discard(connection)

    def answer(self, connection: Connection, request: GetData) -> None:
        """Send what is here of what a peer asks for."""
        found: list[tuple[Key, Datum]] = []
        missing: list[Key] = []
        to_pickle = 0
        for key in request.keys:
            datum = self._store.get(key)
            if datum is None:
                missing.append(key)
                continue
            found.append((key, datum))
            if not datum.is_pickled:
                to_pickle += datum.nbytes
        if connection.in_process:
            items = [DataItem(key, _live(datum), datum.nbytes, datum.type_name) for key, datum in found]
            _send(connection, Data(request.request, items, missing))
        elif to_pickle <= AT_ONCE:
            _send(connection, Data(request.request, _pickle(found), missing))
        else:
            self._owner.start(self._answer_later(connection, request.request, found, missing), "pickle")

    async def _answer_later(
        self, connection: Connection, request: int, found: list[tuple[Key, Datum]], missing: list[Key]
    ) -> None:
        items = await asyncio.get_running_loop().run_in_executor(self._pickler, _pickle, found)
        _send(connection, Data(request, items, missing))


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


def _pickle(found: list[tuple[Key, Datum]]) -> list[DataItem]:
    return [DataItem(key, _dump(datum), datum.nbytes, datum.type_name) for key, datum in found]


def _dump(datum: Datum) -> Payload:
    try:
        return datum.dump()
    except SerializationError as error:
        return dump_raising(error)  # whoever asks for the result gets to know why it cannot have it


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
