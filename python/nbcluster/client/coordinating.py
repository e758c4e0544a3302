"""How a client asks the scheduler to coordinate: the base of datasets, metadata and topics, and of shared objects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nbcluster.client import defaults
from nbcluster.client.connected import ConnectedClient
from nbcluster.client.coordination.link import Make, Request
from nbcluster.client.future import Future
from nbcluster.client.states import CANCELLED
from nbcluster.protocol.coordination import HandedOver, Replied, Shared
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.serialize import dump_with_futures, load


class CoordinatingClient(ConnectedClient):
    """Asks, and gives up so that nothing is lost."""

    def _request(
        self, make: Make, then: Callable[[Any, Request], Any] | None = None, timeout: float | None = None
    ) -> Any:
        """Ask, and return the answer, or what ``then`` makes of it in the caller's thread."""
        link = self._session.coordination
        request = Request(link)
        if self.asynchronous:
            return self._request_here(make, then, timeout)
        try:
            answer = self._sync(request.ask, make, timeout)
            return answer if then is None else then(answer, request)
        except BaseException:
            request.abandon()
            raise

    async def _request_here(
        self, make: Make, then: Callable[[Any, Request], Any] | None = None, timeout: float | None = None
    ) -> Any:
        """The same for a coroutine, on whichever loop it runs."""
        link = self._session.coordination
        request = Request(link)
        try:
            if asyncio.get_running_loop() is link.wants.loop:
                answer = await request.ask(make, timeout)
            else:
                answer = await self._await_here(self._elsewhere(request.ask, make, timeout))
            return answer if then is None else then(answer, request)
        except BaseException:
            request.abandon()
            raise

    # --- values ---

    def _share(self, value: Any, what: str) -> tuple[Shared, list[Future]]:
        """Pickle a value for others, and tell which futures are in it: hold them until the scheduler does."""
        payload, futures = dump_with_futures(value, what)
        for future in futures:
            if not isinstance(future, Future):  # an actor: it is held by its key as well
                continue
            if future.client is not self:
                raise ValueError(f"{what} holds {future!r}, which belongs to another client ({future.client!r})")
            if future.status == CANCELLED:
                raise ValueError(
                    f"{what} holds {future!r}: it was cancelled or released, and nobody can have its result"
                )
        return Shared(payload, list(dict.fromkeys(future.key for future in futures))), futures

    def _open(self, payload: Payload) -> Any:
        """Unpickle a shared value: futures in it are this client's."""
        with defaults.as_current(self._this):
            return load(payload)

    def _receive(self, answer: HandedOver, request: Request) -> list[Any]:
        """Unpickle what was handed over; nothing is there as None."""
        values = [None if payload is None else self._open(payload) for payload in answer.items]
        request.settle()
        return values


def value_of(answer: Replied, request: Request) -> Any:
    """What the scheduler replied."""
    return answer.value


def nothing_of(answer: Replied, request: Request) -> None:
    """It is done, and that is all."""
