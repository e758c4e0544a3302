"""The client that the tasks of one worker share.

It is synchronous in a task's thread, and asynchronous in a task that is a coroutine: what would wait returns something
to await there. Both use one link, whose loop is the background loop of the process.

Who waits in a task gives up the task's seat after a moment: what it waits for may need the seat.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from nbcluster.client.client import Client
from nbcluster.client.connected import awaited, nothing
from nbcluster.client.states import FutureState
from nbcluster.client.target import Target
from nbcluster.comm.loop import wait_for_latch
from nbcluster.protocol.messages import Line
from nbcluster.protocol.payload import Payload
from nbcluster.types import Key

T = TypeVar("T")

MOMENT = 0.002
"""Seconds that a task waits before it gives up its seat: others would have to be moved for less."""


class Seat(Protocol):
    """What entitles a task to a thread of its worker."""

    key: Key
    """That of the task."""

    def secede(self, *, waiting: bool = False) -> bool:
        """Give it up. False if it was given up before."""

    def rejoin(self) -> None:
        """Take a seat again; waits for one."""

    def resume(self) -> None:
        """Go on without a seat."""


class TaskClient(Client):
    """A client for the tasks of a worker. It is closed with the worker: to close it in a task does nothing.

    Args:
        target: the worker's scheduler.
        seat: finds the seat of the current task; None outside tasks.
        name: shows up in logs.
        timeout: seconds to wait for the connection.
    """

    _of_tasks = True

    def __init__(self, target: Target, seat: Callable[[], Seat | None], *, name: str, timeout: float) -> None:
        self._seat = seat
        super().__init__(target, timeout=timeout, set_as_default=False, name=name, cancel_on_interrupt=False)

    @property
    def asynchronous(self) -> bool:
        """True in coroutines: what would wait is then to be awaited."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    @asynchronous.setter
    def asynchronous(self, value: bool) -> None:
        """It depends on the caller."""

    # --- life ---

    def close(self, timeout: float | str | None = None) -> Any:
        """Do nothing: other tasks use it too, and it is closed with the worker."""
        return nothing() if self.asynchronous else None

    async def __aexit__(self, *exc_info: Any) -> None:
        self._current.__exit__(*exc_info)

    async def end(self) -> None:
        """Close it, on whichever loop."""
        if self._loop_thread.is_current:
            await self._close()
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._close(), self._loop_thread.loop))
        self._leave_loop_thread()

    # --- submitting ---

    def _line(self, fifo_timeout: float) -> Line:
        seat = self._seat()
        return super()._line(fifo_timeout) if seat is None else Line(parent=seat.key)

    # --- waiting ---

    def _at_latch(self, latch: threading.Lock, timeout: float | None) -> bool:
        seat = self._seat()
        if seat is None:
            return wait_for_latch(latch, timeout)
        end = None if timeout is None else time.monotonic() + timeout
        if wait_for_latch(latch, MOMENT if timeout is None else min(MOMENT, timeout)):
            return True
        seceded = seat.secede(waiting=True)
        try:
            return wait_for_latch(latch, None if end is None else max(0.0, end - time.monotonic()))
        finally:
            if seceded:
                seat.rejoin()
            else:
                seat.resume()

    @contextmanager
    def _elsewhere_for_a_while(self) -> Iterator[None]:
        """The task gives its seat to others during the block."""
        seat = self._seat()
        seceded = seat is not None and seat.secede()
        try:
            yield
        finally:
            if seat is not None and seceded:
                seat.rejoin()

    def _wait_for_one(self, state: FutureState, timeout: float | None) -> bool:
        return state.wait_in_thread(timeout, self._at_latch)

    def _make_known(self) -> None:
        """A task's result goes by its worker's link: who receives a future in it must not ask too early."""
        if not self._loop_thread.is_current:
            self._loop_thread.run(self._session.make_known())

    async def _await_here(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """A coroutine's task does not take a seat again: its thread does nothing but wait for it."""
        seat = self._seat()
        if seat is None:
            return await coroutine
        waiting = asyncio.ensure_future(coroutine)
        try:
            done, _ = await asyncio.wait([waiting], timeout=MOMENT)
            if done:
                return waiting.result()
            seat.secede(waiting=True)
            try:
                return await waiting
            finally:
                seat.resume()
        finally:
            waiting.cancel()

    def _sync(
        self,
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        then: Callable[[T], Any] | None = None,
        timeout: float | None = None,
        asynchronous: bool | None = None,
        meanwhile: Callable[[], object] | None = None,  # it waits without a seat: others compute meanwhile
    ) -> Any:
        if not (self.asynchronous or asynchronous):
            return super()._sync(function, *args, then=then, timeout=timeout)
        return awaited(self._await_here(self._elsewhere(function, *args)), then, timeout)

    async def _collect_here(self, states: Collection[FutureState]) -> dict[Key, Payload]:
        return await self._await_here(self._elsewhere(self._collect, states, True))
