"""Functions of dask's that look for a client of its own scheduler: with one of ours, they find that.

``store`` and the like ask for a lock that holds where the tasks run; ``dask.base.wait`` and ``await collection`` wait
for the futures behind it. Else writers on two workers would meet, and nobody would wait. What is not ours is left to
dask.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from nbcluster.client.import_hooks import WhenImported

if TYPE_CHECKING:
    from nbcluster.client.client import Client
    from nbcluster.client.future import Future

Function = Callable[..., Any]

_WITH_LOCKS = ("dask.utils", "dask.array.core", "dask.dataframe.io.hdf")
"""Modules that have ``get_scheduler_lock``, their own or another's."""


class DaskFunctions:
    """Replaces them from :meth:`enter` until :meth:`leave`, also in modules that are imported meanwhile.

    Args:
        current: which client is the current one.
    """

    def __init__(self, current: Callable[[], Client | None]) -> None:
        self._current = current
        self._waiting: list[WhenImported] = []
        self._replaced: list[tuple[Any, str, Function, Function]] = []
        """Where, by which name, what was there, and what is there now."""

    def enter(self) -> None:
        """Replace them."""
        self._waiting = [WhenImported(name, self._found_lock) for name in _WITH_LOCKS]
        self._waiting.append(WhenImported("dask.base", self._found_base))

    def leave(self) -> None:
        """Put back what was there."""
        for waiting in self._waiting:
            waiting.cancel()
        replaced, self._replaced = self._replaced, []
        for owner, name, theirs, ours in replaced:
            if vars(owner).get(name) is ours:
                setattr(owner, name, theirs)

    def _found_lock(self, module: Any) -> None:
        self._replace(module, "get_scheduler_lock", self._lock_or)

    def _found_base(self, module: Any) -> None:
        self._replace(module, "wait", _wait_or)
        self._replace(module.DaskMethodsMixin, "__await__", _await_or)

    def _replace(self, owner: Any, name: str, make: Callable[[Function], Function]) -> None:
        theirs = vars(owner).get(name)
        if theirs is None:  # in another version of dask
            return
        theirs = getattr(theirs, "__wrapped__", theirs)  # it came from a module where it had been replaced
        ours = make(theirs)
        setattr(owner, name, ours)
        self._replaced.append((owner, name, theirs, ours))

    def _lock_or(self, theirs: Function) -> Function:
        @functools.wraps(theirs)
        def get_scheduler_lock(collection: Any = None, scheduler: Any = None) -> Any:
            from dask.base import get_scheduler

            client = self._current()
            if client is not None and get_scheduler(collections=[collection], scheduler=scheduler) == client.get:
                from nbcluster.client.coordination.locks import Lock

                return Lock(client=client)
            return theirs(collection, scheduler)

        return get_scheduler_lock


def _wait_or(theirs: Function) -> Function:
    @functools.wraps(theirs)
    def wait(x: Any, timeout: Any = None, return_when: str = "ALL_COMPLETED") -> Any:
        futures = _futures_in(x)
        return _wait(futures, timeout, return_when) if futures else theirs(x, timeout, return_when)

    return wait


def _await_or(theirs: Function) -> Function:
    @functools.wraps(theirs)
    def __await__(self: Any) -> Generator[Any, None, Any]:  # noqa: N807 (it takes that one's place)
        futures = _futures_in(self)

        async def settled() -> Any:
            if futures[0].client.asynchronous:
                await _wait(futures)
            else:
                await asyncio.to_thread(_wait, futures)
            return self

        return settled().__await__() if futures else theirs(self)

    return __await__


def _futures_in(value: Any) -> list[Future]:
    from nbcluster.client.gathering import all_futures, with_parts  # a worker that does not use dask needs no futures

    return all_futures(with_parts(value))


def _wait(futures: list[Any], timeout: Any = None, return_when: str = "ALL_COMPLETED") -> Any:
    from nbcluster.client.waiting import wait

    return wait(futures, timeout, return_when)
