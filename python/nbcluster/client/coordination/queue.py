"""A queue that clients share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbcluster.arguments import check_whole
from nbcluster.client import defaults
from nbcluster.client.coordinating import value_of
from nbcluster.client.coordination.link import CoordinationLink, Request
from nbcluster.client.coordination.names import Name
from nbcluster.client.coordination.shared import SharedObject, check_timeout
from nbcluster.errors import TimeoutError
from nbcluster.protocol.coordination import CountItems, GetItems, HandedOver, LeaveQueue, OpenQueue, PutItem, Replied

if TYPE_CHECKING:
    from nbcluster.client.client import Client


class Queue(SharedObject):
    """First in, first out, for any number of clients and tasks.

    Items are futures, or anything that can be pickled; all go through the scheduler, so put large data into a future
    (``client.scatter``) and the future into the queue. Results of futures in a queue are kept. What a client was handed
    and did not receive, because it was interrupted or died, goes back to its place.

    What is in a queue outlives its clients. It is let go of when somebody closes the last object for it.

    Args:
        name: by default a new one. The same name is the same queue.
        client: the client to use; by default the current one.
        maxsize: how many items fit; who puts more waits. 0 is no limit. Whoever is first to use the name decides.

    Example:
        >>> queue = Queue("parts")
        >>> queue.put(client.submit(sum, [1, 2]))
        >>> queue.get(timeout=1).result()
        3
    """

    _kind = "queue"

    def __init__(self, name: Name | None = None, client: Client | None = None, maxsize: int = 0) -> None:
        maxsize = check_whole("maxsize", maxsize, least=0)
        super().__init__(name, client)
        self.maxsize = maxsize
        self._closed = False
        self._opened: CoordinationLink | None = None
        if (client or defaults.current()) is not None:
            self._open()

    def _open(self) -> Client:
        """Let the scheduler know of this object, once."""
        if self._closed:
            raise RuntimeError(f"{self!r} was closed; make a new one")
        client = self.client
        if self._opened is None and client.status == "running":
            self._opened = client._session.coordination
            self._opened.wants.post(OpenQueue(self._text, self.maxsize))
        return client

    def put(self, value: Any, timeout: float | str | None = None) -> Any:
        """Put an item in, once there is room.

        Args:
            value: a future, something with futures in it, or anything that can be pickled.
            timeout: seconds to wait (or ``"500 ms"``); None waits for ever.

        Raises:
            TimeoutError: the queue is still full; the item is not in it.
            SerializationError: it cannot be pickled; ``path`` says what.
            ValueError: a future of another client, or one that was cancelled.
        """
        client = self._open()
        wait, seconds = check_timeout(timeout)
        item, futures = client._share(value, "value")

        def then(answer: Replied, request: Request) -> None:
            futures.clear()  # until now they were held: from now on the scheduler does
            if not answer.value:
                raise TimeoutError(f"there was no room in {self!r} after {seconds:g} s")

        return client._request(lambda number: PutItem(number, self._text, self.maxsize, item, wait), then, seconds)

    def get(self, timeout: float | str | None = None, batch: bool | int = False) -> Any:
        """Take the next item, or several.

        Args:
            timeout: seconds to wait (or ``"500 ms"``); None waits for ever.
            batch: True: all that are there, as a list, without waiting. A number: a list of so many.

        Raises:
            TimeoutError: there was not enough; what there was is still in the queue.
        """
        if not isinstance(batch, bool):
            batch = check_whole("batch", batch, least=1)
        client = self._open()
        wait, seconds = check_timeout(timeout)
        count = 0 if batch is True else int(batch) or 1

        def then(answer: Any, request: Request) -> Any:
            if type(answer) is not HandedOver:
                few = "nothing was" if count == 1 else f"there were less than {count} items"
                raise TimeoutError(f"{few} in {self!r} after {seconds:g} s")
            items = client._receive(answer, request)
            return items[0] if batch is False else items

        return client._request(lambda number: GetItems(number, self._text, self.maxsize, count, wait), then, seconds)

    def qsize(self) -> Any:
        """How many items are in it."""
        self._open()
        return self._ask(lambda number: CountItems(number, self._text), value_of)

    def close(self) -> None:
        """Be done with it. If no other object for this queue is left, what is in it is let go of. Idempotent."""
        if not self._closed:
            self._closed = True
            self._leave(True)

    def _leave(self, close: bool) -> None:
        if self._opened is not None:
            self._opened.post(LeaveQueue(self._text, close))
            self._opened = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, None, self.maxsize)

    def __del__(self) -> None:
        if getattr(self, "_opened", None) is not None:
            self._leave(False)
