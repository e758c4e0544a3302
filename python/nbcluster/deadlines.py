"""Waiting for something to be done, but not for longer than some seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def within(awaitable: Awaitable[T], timeout: float | None, unwanted: Callable[[T], Any] | None = None) -> T:
    """What ``awaitable`` yields, if it does so in time; else it is cancelled.

    As ``asyncio.wait_for``, which before Python 3.12 forgets a cancellation of the caller if what is waited for is done
    in the same turn of the loop: a task that goes from one such wait to the next would then go on for good.

    Args:
        awaitable: what to wait for.
        timeout: seconds; None for as long as it takes.
        unwanted: called with what it yields all the same after the caller was cancelled.

    Raises:
        asyncio.TimeoutError: it took longer.

    Example:
        >>> asyncio.run(within(asyncio.sleep(0, "done"), 10))
        'done'
    """
    future = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait((future,), timeout=timeout)
    except asyncio.CancelledError:
        await _cancel(future)
        if not future.cancelled() and future.exception() is None and unwanted is not None:
            unwanted(future.result())
        raise
    if not future.done():
        await _cancel(future)
        if future.cancelled():
            raise asyncio.TimeoutError
    try:
        return future.result()
    finally:
        del future  # or its error and the error's traceback would hold each other


async def _cancel(future: asyncio.Future[T]) -> None:
    future.cancel()
    await asyncio.wait((future,))
