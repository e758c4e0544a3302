"""Futures in the order in which they finish: ``as_completed``."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from typing import Any

from nbcluster.arguments import check_flag, check_several
from nbcluster.client.client import Client
from nbcluster.client.connected import seconds_or_none
from nbcluster.client.defaults import check_client, default_client
from nbcluster.client.future import Future
from nbcluster.client.gathering import all_futures, with_parts
from nbcluster.client.states import CANCELLED, ERROR, FutureState
from nbcluster.deadlines import within
from nbcluster.errors import TimeoutError
from nbcluster.protocol.serialize import load


class as_completed:  # noqa: N801 (a function to its users, as in concurrent.futures)
    """Iterate over futures in the order in which they are done; more may be added on the way.

    Args:
        futures: any iterable of futures.
        with_results: yield ``(future, result)`` pairs.
        raise_errors: with results: raise what a task raised. False: yield it in place of the result, as
            ``sys.exc_info()`` gives it: ``(type, exception, traceback)``. For a future that was cancelled it is the
            ``CancelledError`` that comes, either way.
        timeout: seconds for the whole iteration.

    Raises:
        TimeoutError: the time is over and some are not done; says which, and why.

    Example:
        >>> sorted(future.result() for future in as_completed(client.map(abs, [-1, 2])))
        [1, 2]
    """

    def __init__(
        self,
        futures: Iterable[Future] | None = None,
        loop: Any = None,
        with_results: bool = False,
        raise_errors: bool = True,
        *,
        timeout: float | str | None = None,
    ) -> None:
        self.with_results = check_flag("with_results", with_results)
        self.raise_errors = check_flag("raise_errors", raise_errors)
        self._coming: dict[object, Future] = {}
        """Those that are not done, by a token for each time that one was added."""
        self._ready: deque[Future] = deque()
        self._latches: deque[threading.Lock] = deque()
        self._wake_task: Callable[[], object] | None = None
        seconds = seconds_or_none(timeout)
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self.update(() if futures is None else futures)

    def __repr__(self) -> str:
        return f"<as_completed: waiting={len(self._coming)} done={len(self._ready)}>"

    # --- adding ---

    def add(self, future: Future) -> None:
        """Watch one more."""
        self.update((future,))

    def update(self, futures: Iterable[Future]) -> None:
        """Watch more of them."""
        futures = check_several("futures", futures, "futures")
        for future in futures:
            if not isinstance(future, Future):
                raise TypeError(f"futures: as_completed() takes futures, not {future!r}")
        if not futures:
            return
        added: dict[object, Future] = {object(): future for future in futures}
        try:
            self._coming.update(added)
            futures[0].client._call_on_loop(self._watch, added)
        except BaseException:  # an interrupt, or a closed client: nobody may wait for what nobody watches
            for token in added:
                self._coming.pop(token, None)
            raise

    def _watch(self, added: dict[object, Future]) -> None:
        this = weakref.ref(self)  # a state must not keep the futures that are watched
        for token, future in added.items():
            future._state.when_done(partial(_done, this, token))

    def _done(self, token: object, state: FutureState) -> None:
        future = self._coming.get(token)
        if future is None:  # forgotten meanwhile
            return
        self._ready.append(future)  # first: whoever finds nothing here and nothing coming stops
        self._coming.pop(token, None)
        while self._latches:
            self._latches.popleft().release()
        if self._wake_task is not None:
            self._wake_task()

    # --- asking ---

    def count(self) -> int:
        """How many have not been yielded yet."""
        return len(self._coming) + len(self._ready)

    def is_empty(self) -> bool:
        """True if all have been yielded."""
        return not self._coming and not self._ready

    def has_ready(self) -> bool:
        """True if the next one is there already."""
        return bool(self._ready)

    def clear(self) -> None:
        """Forget all that were added."""
        self._coming.clear()
        self._ready.clear()

    def next_batch(self, block: bool = True) -> list[Any]:
        """All that are done; waits for the first of them if ``block``."""
        first = self._wait_next() if check_flag("block", block) else None
        batch = [] if first is None else [first]
        while (future := self._take()) is not None:
            batch.append(future)
        return [self._shaped(future) for future in batch]

    def batches(self) -> Iterator[list[Any]]:
        """Iterate over batches of those that are done, as large as they come."""
        while not self.is_empty():
            yield self.next_batch(block=True)

    # --- iterating ---

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        future = self._wait_next()
        if future is None:
            raise StopIteration
        return self._shaped(future)

    next = __next__
    """``next(batches)``, by the name that it has in loops of one's own."""

    def _take(self) -> Future | None:
        try:
            return self._ready.popleft()
        except IndexError:
            return None

    def _wait_next(self) -> Future | None:
        """Take the next one that is done, or None if there is none left; wait for it in this thread."""
        while True:
            future = self._take()
            if future is not None or self.is_empty():
                return future
            latch = threading.Lock()
            latch.acquire()
            self._latches.append(latch)
            client = self._client_of_next()
            if self._ready or client is None:
                continue
            left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
            try:
                arrived = client._at_latch(latch, left)
            except KeyboardInterrupt:
                client._interrupted()
                raise
            if not arrived:
                raise self._too_late(client._why_late_in_thread(self._pending()))

    def _client_of_next(self) -> Client | None:
        for future in list(self._coming.values()):
            return future.client
        return None

    def _pending(self) -> list[FutureState]:
        return list(dict.fromkeys(future._state for future in list(self._coming.values())))

    def _too_late(self, why: str) -> TimeoutError:
        keys = [state.key for state in self._pending()]
        shown = ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")
        count = self.count()
        return TimeoutError(f"{count} future{' was' if count == 1 else 's were'} not done in time: {shown}{why}")

    def _shaped(self, future: Future) -> Any:
        if not self.with_results:
            return future
        if future.status == CANCELLED:
            return future, future._state.exception()
        if future.status == ERROR:
            error = future._state.exception() or RuntimeError(future.key)
            if self.raise_errors:
                raise error
            return future, (type(error), error, error.__traceback__)
        payload = future._state.payload
        return future, load(payload) if payload is not None else future.result()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        wake = asyncio.Event()
        self._wake_task = partial(asyncio.get_running_loop().call_soon_threadsafe, wake.set)
        while (future := self._take()) is None:
            if self.is_empty():
                raise StopAsyncIteration
            left = None if self._deadline is None else self._deadline - time.monotonic()
            client = self._client_of_next()
            if client is None:
                continue
            try:
                await within(client._await_here(wake.wait()), left)
            except asyncio.TimeoutError:
                raise self._too_late(await client._await_here(client._why_late(self._pending()))) from None
            wake.clear()
        if self.with_results and future._state.payload is None and future.status == "finished":
            return future, await future
        return self._shaped(future)


def _done(this: weakref.ref[as_completed], token: object, state: FutureState) -> None:
    watcher = this()
    if watcher is not None:  # else nobody iterates any more
        watcher._done(token, state)


def futures_of(o: Any, client: Any = None) -> list[Future]:
    """All futures in nested containers, and behind persisted collections of dask's, each once.

    Args:
        o: lists, tuples, sets and dicts, nested at will; collections; futures.
        client: a client, for compatibility: whose they are, futures know themselves.

    Raises:
        ValueError: no client is given, and none is the current one.

    Example:
        >>> x, y = client.map(abs, [-1, -2])
        >>> futures_of({"first": x, "both": [x, y]}) == [x, y]
        True
    """
    default_client(None if client is None else check_client("client", client))
    return all_futures(with_parts(o))
