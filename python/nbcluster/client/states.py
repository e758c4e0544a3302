"""What a client knows about one key, shared by all its futures for that key."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Final

import msgspec

from nbcluster.comm.loop import wait_for_latch
from nbcluster.errors import ActorLostError, FutureCancelledError, KilledWorker, WorkerLostData
from nbcluster.protocol.exceptions import load_exception
from nbcluster.protocol.messages import Failure, KeyDone, Killed, Raised
from nbcluster.protocol.payload import Payload
from nbcluster.types import Key

PENDING: Final = "pending"
FINISHED: Final = "finished"
ERROR: Final = "error"
CANCELLED: Final = "cancelled"

_hanging_up = threading.Lock()
"""Two threads must not hang up their latches at the same time."""

Waiter = Callable[["FutureState"], object]


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Who submitted a key."""

    context: weakref.ref[Context] | None
    """The context variables there: in a notebook they say in which cell output appears. The futures hold them."""
    cell: str | None
    """Which run of which cell; see ``cells``."""


class _Waiters(msgspec.Struct, frozen=True, gc=False):
    """Whom to call when a state is done."""

    all: tuple[Waiter, ...] = ()
    countdown: Countdown | None = None
    """The only one, if it waits for this state and maybe for many others."""


_NOBODY: Final = _Waiters()


class FutureState(msgspec.Struct, eq=False, weakref=True):
    """One key's state. Written on the client's loop, or by the thread that reads in its place; read from any thread.

    It lives as long as a future for its key does: when the last one dies, so does the state, and the client
    tells the scheduler that the key is not wanted any more.

    There may be a million, so Python's garbage collector is not to look at each: it does not look at a record of this
    kind that holds nothing but what it need not look at, either. So no state may hold a future but by what waits until
    it is done.
    """

    key: Key
    origin: Origin | None = None
    since: int = 0
    """How many keys the client had let go of before: what the scheduler said sooner is of a former meaning."""
    status: str = PENDING
    type_name: str = ""
    nbytes: int = 0
    payload: Payload | None = None
    failure: Failure | None = None
    blamed: Key = ""
    reason: str = ""
    msg: str = ""
    waiters: _Waiters = _NOBODY
    latches: list[threading.Lock] | None = None
    """What threads wait at; see ``wait_in_thread``."""

    @property
    def context(self) -> Context | None:
        """The context variables of whoever submitted it, if any of the futures that came of it is left."""
        origin = self.origin
        return None if origin is None or origin.context is None else origin.context()

    @property
    def cell(self) -> str | None:
        """Which run of which cell submitted it."""
        return None if self.origin is None else self.origin.cell

    @property
    def is_watched(self) -> bool:
        """True if somebody waits until it is done."""
        return self.waiters is not _NOBODY or self.latches is not None

    # --- on the loop ---

    def finish(self, type_name: str, nbytes: int, payload: Payload | None) -> None:
        """The result is there."""
        self.type_name = type_name
        self.nbytes = nbytes
        self.payload = payload
        self.status = FINISHED
        if self.waiters is not _NOBODY or self.latches is not None:  # as `is_watched`, without one more call for each
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
        waiters, self.waiters = self.waiters, _NOBODY
        for waiter in waiters.all:
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
            self.waiters = _Waiters((*self.waiters.all, waiter))

    def forget_waiter(self, waiter: Waiter) -> None:
        """Undo ``when_done``."""
        if waiter in self.waiters.all:
            left = tuple(other for other in self.waiters.all if other != waiter)
            self.waiters = _Waiters(left) if left else _NOBODY

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


def finish_all(results: Iterable[tuple[FutureState, KeyDone]]) -> None:
    """Results are there: as ``FutureState.finish`` of each, but who waits for many of them is told once."""
    counts: dict[Countdown, int] = {}
    for state, done in results:
        countdown = state.waiters.countdown
        if countdown is None:
            state.finish(done.type_name, done.nbytes, done.payload)
            continue
        state.type_name = done.type_name
        state.nbytes = done.nbytes
        state.payload = done.payload
        state.status = FINISHED
        if state.latches is None:  # looked at after the status is set: see `_wake`
            state.waiters = _NOBODY
            counts[countdown] = counts.get(countdown, 0) + 1
        else:
            state._wake()
    for countdown, finished in counts.items():
        countdown.count(finished)


class Countdown:
    """Calls ``then`` once enough of the given states are done; ``stop_early`` makes one failure enough.

    ``nudge`` is called if some are done at once, and whenever ``portion`` more of them are, until then.

    Attributes:
        failed: one failure was enough.
    """

    __slots__ = ("_left", "_next", "_nudge", "_open", "_portion", "_states", "_stop_early", "_then", "failed")

    def __init__(
        self,
        states: Iterable[FutureState],
        then: Callable[[], object],
        *,
        enough: int | None = None,
        stop_early: bool = False,
        nudge: Callable[[], object] | None = None,
        portion: int = 1,
    ) -> None:
        self.failed = False
        self._then: Callable[[], object] | None = then
        self._stop_early = stop_early
        self._nudge = nudge
        self._portion = portion
        alone = _Waiters((self._done,), self)  # shared by all states that nobody else waits for: there may be a million
        some_done = False
        self._states = pending = list[FutureState]()
        for state in states:  # once over all: what there are so many of is in no cache
            status = state.status
            if status == PENDING:
                pending.append(state)
                if state.waiters is _NOBODY:
                    state.waiters = alone
                else:
                    state.when_done(self._done)
            else:
                some_done = True
                if stop_early and status != FINISHED:
                    self.failed = True
        self._open = len(pending)
        """How many of them may still say that they are done."""
        self._left = self._open if enough is None else min(enough, self._open)
        if self.failed:
            self._left = 0
        self._next = 0 if nudge is None else max(0, self._left - portion)
        """How many are left when there is something to do."""
        if not self._left:
            self._fire()
        elif nudge is not None and some_done:
            nudge()

    def _done(self, state: FutureState) -> None:
        if self._stop_early and state.status != FINISHED:
            self.failed = True
            self._fire()
        self.count(1)

    def count(self, finished: int) -> None:
        """So many more of them are done."""
        self._open -= finished
        self._left = left = self._left - finished
        if left > self._next:
            return
        if left <= 0:
            self._fire()
        elif self._nudge is not None and self._then is not None:
            self._next = max(0, left - self._portion)
            self._nudge()

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
