"""What a client knows about one key, shared by all its futures for that key."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Final

from nbcluster.comm.loop import wait_for_latch
from nbcluster.errors import ActorLostError, FutureCancelledError, KilledWorker, WorkerLostData
from nbcluster.protocol.exceptions import load_exception
from nbcluster.protocol.messages import Failure, Killed, Raised
from nbcluster.protocol.payload import Payload
from nbcluster.types import Key

PENDING: Final = "pending"
FINISHED: Final = "finished"
ERROR: Final = "error"
CANCELLED: Final = "cancelled"

_hanging_up = threading.Lock()
"""Two threads must not hang up their latches at the same time."""

Waiter = Callable[["FutureState"], object]


class FutureState:
    """One key's state. Written on the client's loop, or by the thread that reads in its place; read from any thread.

    It lives as long as a future for its key does: when the last one dies, so does the state, and the client
    tells the scheduler that the key is not wanted any more.
    """

    __slots__ = (
        "__weakref__",
        "blamed",
        "cell",
        "context",
        "failure",
        "key",
        "latches",
        "msg",
        "nbytes",
        "payload",
        "reason",
        "since",
        "status",
        "type_name",
        "waiters",
    )

    def __init__(self, key: Key, context: Context | None = None, cell: str | None = None, since: int = 0) -> None:
        self.key = key
        self.since = since
        """How many keys the client had let go of before: what the scheduler said sooner is of a former meaning."""
        self.context = context
        """The context variables of whoever submitted: in a notebook they say in which cell output appears."""
        self.cell = cell
        """Which run of which cell submitted it; see ``cells``."""
        self.status = PENDING
        self.type_name = ""
        self.nbytes = 0
        self.payload: Payload | None = None
        self.failure: Failure | None = None
        self.blamed: Key = ""
        self.reason = ""
        self.msg = ""
        self.waiters: tuple[Waiter, ...] = ()
        self.latches: list[threading.Lock] | None = None
        """What threads wait at; see ``wait_in_thread``."""

    # --- on the loop ---

    def finish(self, type_name: str, nbytes: int, payload: Payload | None) -> None:
        """The result is there."""
        self.type_name = type_name
        self.nbytes = nbytes
        self.payload = payload
        self.status = FINISHED
        if self.waiters or self.latches is not None:
            self._wake()

    def fail(self, failure: Failure, blamed: Key) -> None:
        """The task erred."""
        self.failure = failure
        self.blamed = blamed
        self.status = ERROR
        self._wake()

    def cancel(self, reason: str, msg: str) -> None:
        """It will never finish."""
        self.reason = reason
        self.msg = msg
        self.payload = None
        self.status = CANCELLED
        self._wake()

    def pend(self) -> None:
        """It is being computed again."""
        self.payload = None
        self.failure = None
        self.status = PENDING

    def _wake(self) -> None:
        waiters, self.waiters = self.waiters, ()
        for waiter in waiters:
            waiter(self)
        # Last: the status is set before the latches are taken, and a thread looks at it after hanging up its own.
        latches, self.latches = self.latches, None
        for latch in latches or ():
            if latch.locked():  # else whoever waited there was woken before, and hung it up again too late
                latch.release()

    def when_done(self, waiter: Waiter) -> None:
        """Call ``waiter`` once, when the state is not pending (any more)."""
        if self.status != PENDING:
            waiter(self)
        else:
            self.waiters = (*self.waiters, waiter)

    def forget_waiter(self, waiter: Waiter) -> None:
        """Undo ``when_done``."""
        if waiter in self.waiters:
            self.waiters = tuple(other for other in self.waiters if other != waiter)

    # --- anywhere ---

    def wait_in_thread(
        self, timeout: float | None, wait: Callable[[threading.Lock, float | None], bool] = wait_for_latch
    ) -> bool:
        """Block this thread, not the loop, until it is not pending; False if that took longer than ``timeout``.

        The shortest way from a result to who waits for it: no coroutine, no turn of the loop.
        """
        latch = threading.Lock()
        latch.acquire()
        with _hanging_up:
            self.latches = [*(self.latches or ()), latch]
        if self.status != PENDING:
            return True
        return wait(latch, timeout)

    def exception(self) -> BaseException | None:
        """Why there is no result: a new exception object at each call, or None."""
        if self.status == CANCELLED:
            return FutureCancelledError(self.key, self.reason, self.msg)
        failure = self.failure
        if self.status != ERROR or failure is None:
            return None
        if isinstance(failure, Raised):
            return load_exception(failure.payload)
        if isinstance(failure, Killed):
            return KilledWorker(self.blamed, failure.attempts, failure.worker, cause=failure.cause, log=failure.log)
        if failure.actor:
            return ActorLostError(
                f"The actor {self.blamed} is gone with the state that it had: its worker {failure.worker} has ended. "
                "Make a new one, or retry its future.",
                key=self.blamed,
            )
        where = f"with the worker {failure.worker} that held it" if failure.worker else "before it was used"
        return WorkerLostData(
            f"The data {self.blamed!r} was lost {where}. It was scattered, or its future was released: no "
            "task can compute it again. Scatter it once more; broadcast=True survives the next loss.",
            key=self.blamed,
        )

    def __repr__(self) -> str:
        return f"<FutureState {self.key} {self.status}>"


class Countdown:
    """Calls ``then`` once enough of the given states are done; ``stop_early`` makes one failure enough."""

    __slots__ = ("_left", "_open", "_states", "_stop_early", "_then")

    def __init__(
        self,
        states: Iterable[FutureState],
        then: Callable[[], object],
        *,
        enough: int | None = None,
        stop_early: bool = False,
    ) -> None:
        self._then: Callable[[], object] | None = then
        self._stop_early = stop_early
        states = list(states)
        self._states = [state for state in states if state.status == PENDING]
        self._open = len(self._states)
        """How many of them may still say that they are done."""
        self._left = self._open if enough is None else min(enough, self._open)
        if stop_early and any(state.status not in (PENDING, FINISHED) for state in states):
            self._left = 0
        if not self._left:
            self._fire()
            return
        alone = (self._done,)  # shared by all states that nobody else waits for: there may be a million
        for state in self._states:
            state.waiters = (*state.waiters, *alone) if state.waiters else alone

    def _done(self, state: FutureState) -> None:
        self._open -= 1
        self._left -= 1
        if self._left == 0 or (self._stop_early and state.status != FINISHED):
            self._fire()

    def _fire(self) -> None:
        then, self._then = self._then, None
        if then is not None:
            then()

    def cancel(self) -> None:
        """Stop watching."""
        self._then = None
        if self._open:  # else none of them knows of us any more
            for state in self._states:
                state.forget_waiter(self._done)
