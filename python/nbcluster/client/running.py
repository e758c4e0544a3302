"""Functions that run beside tasks: on all workers at once, in the scheduler, or on the client's own event loop."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from nbcluster.arguments import check_flag, check_optional_flag, check_workers
from nbcluster.client.connected import ConnectedClient, awaited
from nbcluster.errors import CommClosedError
from nbcluster.protocol.calling import dump_side_call
from nbcluster.protocol.exceptions import load_exception
from nbcluster.protocol.running import (
    CallOutcome,
    CallRaised,
    KeptName,
    Returned,
    RunFunction,
    RunOnScheduler,
)
from nbcluster.protocol.serialize import load
from nbcluster.types import Address
from nbcluster.units import parse_seconds

ON_ERROR = ("raise", "return", "ignore")


class RunningClient(ConnectedClient):
    """Runs functions outside of the task system."""

    def sync(
        self,
        func: Callable[..., Awaitable[Any]],
        *args: Any,
        asynchronous: bool | None = None,
        callback_timeout: float | str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run a coroutine function here, and wait for what it returns: for synchronous code, notebooks too.

        It runs on the background event loop that all clients of this process share, so it should await whatever takes
        long: futures, and calls of this client with ``asynchronous=True``.

        Args:
            func: the coroutine function.
            args: its arguments.
            asynchronous: True returns something to be awaited on the event loop that runs already, and so does
                None if the client is an asynchronous one.
            callback_timeout: seconds to wait, or text like ``"2s"``; None waits for ever.
            kwargs: keyword arguments of the function.

        Returns:
            What the function returns.

        Raises:
            TimeoutError: it took longer; it is cancelled.
            TypeError: ``func`` cannot be called, or what it returns cannot be awaited.
            RuntimeError: this is called on the background event loop itself.

        Example:
            >>> async def add_one(x):
            ...     future = client.submit(lambda x: x + 1, x)
            ...     return await client.gather(future, asynchronous=True)
            >>> client.sync(add_one, 10)
            11
        """
        if not callable(func):
            raise TypeError(f"func={func!r} cannot be called; give a coroutine function")
        check_optional_flag("asynchronous", asynchronous)
        seconds = None if callback_timeout is None else parse_seconds(callback_timeout, "callback_timeout")
        call = functools.partial(_await_call, functools.partial(func, *args, **kwargs))
        if asynchronous:
            return awaited(call(), None, seconds)
        return self._sync(call, timeout=seconds)

    def run(
        self,
        function: Callable[..., Any],
        *args: Any,
        workers: Collection[str] | str | None = None,
        wait: bool = True,
        nanny: bool = False,
        on_error: str = "raise",
        **kwargs: Any,
    ) -> Any:
        """Run a function on all workers at once, outside of the task system.

        It runs whatever the workers' threads are busy with, and is no task: it has no key, no retries, no future.
        If it has a parameter ``dask_worker``, that is the worker. A coroutine function runs on the worker's event loop,
        any other in a thread of its own.

        Args:
            function: what to run.
            args: its arguments.
            workers: names or addresses of those that are to run it; None means all.
            wait: False returns None at once, and whatever the function returns or raises is dropped.
            nanny: accepted for compatibility, but only as False: no user code runs in what supervises workers.
            on_error: ``"raise"`` raises the first error; ``"return"`` has errors among the results; ``"ignore"``
                leaves them out. A worker that dies meanwhile is an error too.
            kwargs: keyword arguments of the function.

        Returns:
            The results, by worker address.

        Raises:
            ValueError: a worker is not known, or an argument is out of range.

        Example:
            >>> import os
            >>> pids = client.run(os.getpid)
            >>> client.run(lambda dask_worker: dask_worker.nthreads)  # doctest: +SKIP
            {'unix:///tmp/…/w0.sock': 1, 'unix:///tmp/…/w1.sock': 1}
        """
        if on_error not in ON_ERROR:
            raise ValueError(f"on_error must be 'raise', 'return', or 'ignore'; got on_error={on_error!r}")
        check_flag("wait", wait)
        if check_flag("nanny", nanny):
            raise ValueError(
                f"nanny={nanny!r} is not allowed: the processes that supervise workers run no user code; "
                "leave it out to run the function in the workers themselves"
            )
        names = check_workers("workers", workers)
        call = dump_side_call(function, args, kwargs)
        return self._sync(
            self._session.run,
            lambda request: RunFunction(request, call, names, wait),
            then=lambda outcomes: results(outcomes, on_error) if wait else None,
        )

    def run_on_scheduler(self, function: Callable[..., Any], *args: Any, wait: bool = True, **kwargs: Any) -> Any:
        """Run a function, or a coroutine function, in the scheduler, on its event loop.

        The scheduler does nothing else while a function computes there, so it should be quick. If it has a parameter
        ``dask_scheduler``, that shows the scheduler's workers, tasks and clients.

        Args:
            function: what to run.
            args: its arguments.
            wait: False returns None as soon as the function has begun.
            kwargs: keyword arguments of the function.

        Raises:
            BlockedHandlerError: the cluster has ``'run_function'`` on its ``blocked_handlers`` list.

        Example:
            >>> client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.workers))
            2
        """
        check_flag("wait", wait)
        call = dump_side_call(function, args, kwargs)

        def finish(outcomes: dict[Address, CallOutcome]) -> Any:
            (result,) = results(outcomes, "raise").values()
            return result if wait else None

        return self._sync(self._session.run, lambda request: RunOnScheduler(request, call, wait), then=finish)

    async def _keep(
        self, function: Callable[..., Any], *args: Any, keep: KeptName | None = None, drop: KeptName | None = None
    ) -> dict[Address, Any]:
        """Have all workers make a call, and later ones as well (``keep``), or them no more (``drop``)."""
        call = await asyncio.to_thread(dump_side_call, function, args, {})
        outcomes = await self._session.run(
            lambda request: RunFunction(request, call, keep=keep, drop=drop),
        )
        return await asyncio.to_thread(results, outcomes, "raise")


def results(outcomes: dict[Address, CallOutcome], on_error: str) -> dict[Address, Any]:
    """What the calls returned, by the address of who made each."""
    found: dict[Address, Any] = {}
    for address, outcome in outcomes.items():
        if isinstance(outcome, Returned):
            found[address] = load(outcome.value, "result")
            continue
        error: BaseException
        if isinstance(outcome, CallRaised):
            error = load_exception(outcome.error)
        else:
            error = CommClosedError(f"the worker {address} went before it answered: {outcome.cause}")
        if on_error == "raise":
            raise error
        if on_error == "return":
            found[address] = error
    return found


async def _await_call(call: functools.partial[Awaitable[Any]]) -> Any:
    """Await what a user's function returns."""
    awaitable = call()
    if not inspect.isawaitable(awaitable):
        raise TypeError(
            f"func={call.func!r} returned {awaitable!r}, which cannot be awaited; give a coroutine function"
        )
    return await awaitable
