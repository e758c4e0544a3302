"""Futures in the order in which they finish: ``as_completed``."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from typing import Any

from nbcluster.client.client import _seconds
from nbcluster.client.defaults import default_client
from nbcluster.client.future import Future
from nbcluster.client.states import CANCELLED, ERROR, FutureState
from nbcluster.errors import TimeoutError
from nbcluster.protocol.serialize import load


class as_completed:  # noqa: N801 (a function to its users, as in concurrent.futures)
    """Iterate over futures in the order in which they are done; more may be added on the way.

    Args:
        futures: any iterable of futures.
        with_results: yield ``(future, result)`` pairs.
        raise_errors: with results: raise what a task raised. False: yield ``(future, exception)``.
        timeout: seconds for the whole iteration.

    Raises:
        TimeoutError: the time is over and some are not done.

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
        self.with_results = with_results
        self.raise_errors = raise_errors
        self._condition = threading.Condition()
        self._ready: deque[Future] = deque()
        self._pending = 0
        self._numbers = itertools.count()
        self._watched: dict[int, Future] = {}
        """Those that are not done: who passes futures on to this object need not keep them."""
        self._event: asyncio.Event | None = None
        seconds = _seconds(timeout)
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self.update(futures or ())

    # --- adding ---

    def add(self, future: Future) -> None:
        """Watch one more."""
        self.update((future,))

    def update(self, futures: Iterable[Future]) -> None:
        """Watch more of them."""
        futures = list(futures)
        for future in futures:
            if not isinstance(future, Future):
                raise TypeError(f"as_completed() takes futures, not {future!r}")
        watched = dict(zip(self._numbers, futures, strict=False))
        with self._condition:
            self._pending += len(futures)
            self._watched.update(watched)
        if futures:
            futures[0].client._call_on_loop(self._watch, watched)

    def _watch(self, watched: dict[int, Future]) -> None:
        for number, future in watched.items():
            future._state.when_done(partial(self._done, number))

    def _done(self, number: int, state: FutureState) -> None:
        with self._condition:
            future = self._watched.pop(number, None)
            if future is None:  # cleared meanwhile
                return
            self._ready.append(future)
            self._condition.notify()
        if self._event is not None:
            self._event.set()

    # --- asking ---

    def count(self) -> int:
        """How many have not been yielded yet."""
        with self._condition:
            return self._pending

    def is_empty(self) -> bool:
        """True if all have been yielded."""
        return self.count() == 0

    def has_ready(self) -> bool:
        """True if the next one is there already."""
        return bool(self._ready)

    def clear(self) -> None:
        """Forget all that were added."""
        with self._condition:
            self._ready.clear()
            self._watched.clear()
            self._pending = 0

    def next_batch(self, block: bool = True) -> list[Any]:
        """All that are done; waits for the first of them if ``block``."""
        batch = [self._wait_next()] if block and self._pending else []
        while self._ready:
            batch.append(self._take())
        return [self._shaped(future) for future in batch]

    def batches(self) -> Iterator[list[Any]]:
        """Iterate over batches of those that are done, as large as they come."""
        while not self.is_empty():
            yield self.next_batch(block=True)

    # --- iterating ---

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while True:
            if self.is_empty():
                raise StopIteration
            future = self._wait_next()
            if future.status != CANCELLED or self.with_results:
                return self._shaped(future)
            return future

    def _take(self) -> Future:
        with self._condition:
            self._pending -= 1
            return self._ready.popleft()

    def _wait_next(self) -> Future:
        with self._condition:
            while not self._ready:
                left = None if self._deadline is None else self._deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"{self._pending} futures were not done in time")
                self._condition.wait(left)
        return self._take()

    def _shaped(self, future: Future) -> Any:
        if not self.with_results:
            return future
        if future.status in (ERROR, CANCELLED):
            error = future._state.exception()
            if self.raise_errors and error is not None:
                raise error
            return future, error
        payload = future._state.payload
        return future, load(payload) if payload is not None else future.result()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self.is_empty():
            raise StopAsyncIteration
        self._event = self._event or asyncio.Event()
        while not self._ready:
            self._event.clear()
            left = None if self._deadline is None else self._deadline - time.monotonic()
            try:
                await asyncio.wait_for(self._event.wait(), left)
            except asyncio.TimeoutError:
                raise TimeoutError(f"{self._pending} futures were not done in time") from None
        future = self._take()
        if self.with_results and future._state.payload is None and future.status == "finished":
            return future, await future
        return self._shaped(future)


def futures_of(o: Any, client: Any = None) -> list[Future]:
    """All futures in nested containers, each once."""
    from nbcluster.client.gathering import find_futures

    default_client(client)
    return find_futures(o)
