"""Waiting for several futures: ``wait``."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from nbcluster.arguments import check_several
from nbcluster.client.client import Client
from nbcluster.client.connected import seconds_or_none
from nbcluster.client.future import Future
from nbcluster.client.gathering import futures_in
from nbcluster.client.states import CANCELLED, PENDING
from nbcluster.deadlines import within
from nbcluster.errors import FutureCancelledError, FuturesCancelledError, TimeoutError

ALL_COMPLETED = "ALL_COMPLETED"
FIRST_COMPLETED = "FIRST_COMPLETED"


class DoneAndNotDoneFutures(NamedTuple):
    """What ``wait`` returns: two sets of futures."""

    done: set[Future]
    not_done: set[Future]


def wait(fs: Any, timeout: float | str | None = None, return_when: str = ALL_COMPLETED) -> Any:
    """Wait until all futures, or the first of them, are done: finished or erred.

    Args:
        fs: futures, in any containers.
        timeout: seconds to wait; None waits for ever.
        return_when: ``"ALL_COMPLETED"`` or ``"FIRST_COMPLETED"``.

    Returns:
        ``(done, not_done)``, two sets. With an asynchronous client: a coroutine.

    Raises:
        TimeoutError: they are not done yet; says which.
        FuturesCancelledError: some of them were cancelled; says why.

    Example:
        >>> done, not_done = wait(client.map(abs, [-1, 2]))
        >>> len(done), len(not_done)
        (2, 0)
    """
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED):
        raise ValueError(f"return_when={return_when!r} is not allowed; give {ALL_COMPLETED!r} or {FIRST_COMPLETED!r}")
    if isinstance(timeout, Future):
        raise TypeError(f"timeout={timeout!r} is a future: wait() takes a list of them, wait([a, b])")
    seconds = seconds_or_none(timeout)
    whole = isinstance(fs, (Future, dict)) or hasattr(type(fs), "__dask_graph__")
    futures = futures_in("fs", fs if whole else check_several("fs", fs, "futures"), each=True)
    if not futures:
        return DoneAndNotDoneFutures(set(), set())
    client: Client = futures[0].client
    states = list(dict.fromkeys(future._state for future in futures))
    # One that is done already is enough for FIRST_COMPLETED.
    enough = None
    if return_when == FIRST_COMPLETED:
        enough = 0 if any(state.status != PENDING for state in states) else 1

    def finish(_: None) -> DoneAndNotDoneFutures:
        cancelled = [FutureCancelledError(s.key, s.reason, s.msg) for s in states if s.status == CANCELLED]
        if cancelled:
            raise FuturesCancelledError(cancelled)
        done = {future for future in futures if future.done()}
        return DoneAndNotDoneFutures(done, set(futures) - done)

    def late(why: str) -> TimeoutError:
        keys = [state.key for state in states if state.status == PENDING]
        shown = ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")
        return TimeoutError(f"{len(keys)} of {len(states)} futures were not done after {seconds:g} s: {shown}{why}")

    async def watch() -> None:
        try:
            await within(client._wait_for(states, enough), seconds)
        except asyncio.TimeoutError:
            raise late(await client._why_late(state for state in states if state.status == PENDING)) from None

    if not client.asynchronous and all(state.status != PENDING for state in states):
        return finish(None)
    return client._sync(watch, then=finish)
