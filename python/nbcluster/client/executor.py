"""A client as an executor of ``concurrent.futures``, for whatever takes one: ``loop.run_in_executor``, other libraries.

client.submit ─▶ Future ── done ──▶ concurrent.futures.Future: result, exception or cancellation
▲── cancel() ──┘
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from nbcluster.arguments import check_flag, check_whole
from nbcluster.client import submission
from nbcluster.units import parse_seconds

if TYPE_CHECKING:
    from nbcluster.client.client import Client
    from nbcluster.client.future import Future

T = TypeVar("T")

OPTIONS = frozenset({"allow_other_workers", "priority", "pure", "resources", "retries", "workers"})
"""Keywords of ``client.submit`` that an executor can have for all its tasks."""


class ClientExecutor(concurrent.futures.Executor):
    """Runs calls as tasks of a cluster; made by ``client.get_executor()``.

    Its futures are those of ``concurrent.futures``. Calls are not taken to be pure, unless it was made with
    ``pure=True``: the same call twice runs twice.

    Args:
        client: the client. If it is asynchronous, nobody may wait on its event loop for what runs on it:
            ``await loop.run_in_executor(executor, …)`` or ``await asyncio.wrap_future(executor.submit(…))`` there.
        options: keywords of ``client.submit`` for all calls.

    Raises:
        TypeError: one of them is not known.
    """

    def __init__(self, client: Client, **options: Any) -> None:
        unknown = sorted(set(options) - OPTIONS)
        if unknown:
            raise TypeError(
                f"unsupported arguments to ClientExecutor: {unknown}; there are {', '.join(sorted(OPTIONS))}"
            )
        submission.options(**{name: value for name, value in options.items() if name != "pure"})
        check_flag("pure", options.get("pure", False))
        self._client = client
        self._options = {"pure": False, **options}
        self._lock = threading.Lock()
        self._open: dict[concurrent.futures.Future[Any], Future] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<ClientExecutor of {self._client!r}>"

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[T]:
        """Have ``fn(*args, **kwargs)`` run as a task.

        Raises:
            RuntimeError: the executor was shut down.
        """
        self._check_open()
        return self._wrap(self._client.submit(fn, *args, **{**self._options, **kwargs}))

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _wrap(self, future: Future) -> concurrent.futures.Future[Any]:
        promised: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._lock:
            self._open[promised] = future
        promised.add_done_callback(self._cancelled)
        future.add_done_callback(lambda done: self._done(promised, done))
        return promised

    def _cancelled(self, promised: concurrent.futures.Future[Any]) -> None:
        if promised.cancelled():
            with self._lock:
                future = self._open.pop(promised, None)
            if future is not None and not future.done():
                self._client._cancel_soon([future], "cancelled", "The executor's future was cancelled.")

    def _done(self, promised: concurrent.futures.Future[Any], future: Future) -> None:
        """Hand the outcome over. In the thread of callbacks, which may fetch large results."""
        with self._lock:
            self._open.pop(promised, None)
        if future.cancelled():
            promised.cancel()
            promised.set_running_or_notify_cancel()  # wakes who waits for it
            return
        try:
            result = self._client._result_in_thread(future)
        except concurrent.futures.CancelledError:
            promised.cancel()
            promised.set_running_or_notify_cancel()
            return
        except BaseException as error:
            if promised.set_running_or_notify_cancel():
                promised.set_exception(error)
            return
        if promised.set_running_or_notify_cancel():
            promised.set_result(result)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | str | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Have ``fn`` run on each element; yields the results in order.

        Args:
            fn: takes as many arguments as there are iterables.
            iterables: what to run it on; the shortest ends it.
            timeout: seconds from now until the last result must be there.
            chunksize: how many elements make one task.
            buffersize: how many tasks there may be whose results were not taken yet; None: all are submitted at once.

        Raises:
            TimeoutError: a result was not there in time; what is left is cancelled.
            RuntimeError: it was shut down, or this is the event loop of an asynchronous client.
        """
        self._check_open()
        self._check_may_wait("map()")
        if not callable(fn):
            raise TypeError(f"fn={fn!r} cannot be called; give a function")
        chunksize = check_whole("chunksize", chunksize, least=1)
        if buffersize is not None:
            buffersize = check_whole("buffersize", buffersize, least=1)
        deadline = None if timeout is None else time.monotonic() + parse_seconds(timeout, "timeout")
        calls = list(zip(*iterables, strict=False)) if buffersize is None else zip(*iterables, strict=False)
        chunks = _chunks(iter(calls), chunksize)
        if buffersize is None:
            lists = list(chunks)
            futures = self._client.map(_run_chunk, [fn] * len(lists), lists, **self._options) if lists else []
            return self._results([self._wrap(future) for future in futures], iter(()), fn, deadline)
        return self._results([], chunks, fn, deadline, buffersize)

    def _results(
        self,
        waiting: list[concurrent.futures.Future[Any]],
        chunks: Iterator[list[tuple[Any, ...]]],
        fn: Callable[..., T],
        deadline: float | None,
        buffersize: int = 0,
    ) -> Iterator[T]:
        waiting.reverse()  # the next one comes last: it is popped
        self._fill(waiting, chunks, fn, buffersize)

        def take() -> Iterator[T]:
            try:
                while waiting:
                    left = (
                        None if deadline is None else min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
                    )
                    results = waiting[-1].result(left)
                    waiting.pop()
                    self._fill(waiting, chunks, fn, buffersize)
                    yield from results
            finally:
                for promised in waiting:
                    promised.cancel()

        return take()

    def _fill(
        self,
        waiting: list[concurrent.futures.Future[Any]],
        chunks: Iterator[list[tuple[Any, ...]]],
        fn: Callable[..., T],
        buffersize: int,
    ) -> None:
        while len(waiting) < buffersize:
            chunk = next(chunks, None)
            if chunk is None:
                return
            waiting.insert(0, self.submit(_run_chunk, fn, chunk))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. The client stays as it is. Idempotent.

        Args:
            wait: until all that was submitted is done.
            cancel_futures: cancel what is not done.

        Raises:
            RuntimeError: something is not done, and this is the event loop of an asynchronous client.
        """
        check_flag("wait", wait)
        check_flag("cancel_futures", cancel_futures)
        self._closed = True
        with self._lock:
            left = list(self._open)
        if cancel_futures:
            for promised in left:
                promised.cancel()
        if wait and any(not promised.done() for promised in left):
            self._check_may_wait("shutdown()")
            concurrent.futures.wait(left)

    def _check_may_wait(self, method: str) -> None:
        """Refuse to wait on the loop by which results would come."""
        if self._client._session.wants.runs_here:
            raise RuntimeError(
                f"{method} would wait for tasks on the event loop that is to hear of their results; "
                "await them before, or give shutdown(wait=False)"
            )


def _run_chunk(fn: Callable[..., T], calls: list[tuple[Any, ...]]) -> list[T]:
    return [fn(*arguments) for arguments in calls]


def _chunks(calls: Iterator[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    while True:
        chunk = [call for _, call in zip(range(size), calls, strict=False)]
        if not chunk:
            return
        yield chunk
