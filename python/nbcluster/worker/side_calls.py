"""Calls that a worker makes beside its tasks: at once, in threads of their own, however busy the others are.

    loop ── start() ──▶ thread: unpickle, call, pickle ──▶ loop: tell
                          └── a coroutine: back to the loop, and wait for it there

Calls with a *turn* are made one after the other, in the order in which they came: plugins are set up in order.
Threads are daemons: a call that hangs keeps nobody from leaving.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from nbcluster.protocol.calling import SideCall, raised, returned
from nbcluster.protocol.running import CallEnded, CallRaised, Returned, RunCall
from nbcluster.worker import context

_numbers = itertools.count(1)


class SideCalls:
    """Makes the calls of one worker, on whose loop it lives.

    Args:
        worker: handed to functions that ask for ``dask_worker``.
        tell: called on the loop with each call that has ended.
        prepare: called in a call's thread before its coroutine runs on the loop, where it may wait for nothing.
    """

    def __init__(
        self, worker: Any, tell: Callable[[CallEnded], None], prepare: Callable[[], None] = lambda: None
    ) -> None:
        self._worker = worker
        self._prepare = prepare
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._turns: deque[RunCall] = deque()
        self._closed = False

    def start(self, call: RunCall) -> None:
        """Make a call, as soon as it may be made."""
        if call.turn:
            self._turns.append(call)
            if len(self._turns) > 1:
                return
        self._in_thread(call)

    def _in_thread(self, call: RunCall) -> None:
        name = f"nbcluster-run-{next(_numbers)}"
        threading.Thread(target=self._make, args=(call,), name=name, daemon=True).start()

    def _make(self, call: RunCall) -> None:
        outcome: Returned | CallRaised
        try:
            side_call = SideCall(call.call, {"dask_worker": self._worker})
            with context.beside_tasks(self._worker):
                value = side_call.make()
                if isinstance(value, Coroutine):
                    self._prepare()
                    value = asyncio.run_coroutine_threadsafe(value, self._loop).result()
            outcome = returned(value)
        except BaseException as error:
            outcome = raised(error)
        try:
            self._loop.call_soon_threadsafe(self._ended, CallEnded(call.number, outcome), call.turn)
        except RuntimeError:  # the loop is closed, and nobody waits any more
            return

    def _ended(self, ended: CallEnded, turn: bool) -> None:
        if self._closed:
            return
        self._tell(ended)
        if turn:
            self._turns.popleft()
            if self._turns:
                self._in_thread(self._turns[0])

    def close(self) -> None:
        """Make no more calls, and tell of none. Idempotent."""
        self._closed = True
