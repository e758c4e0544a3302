"""What a client wants of its scheduler: the states of its keys, and what is said about them, from any thread.

Rules
1. Outgoing messages of all threads pass through one queue, in order, and leave together: one wake-up per
   batch. If nothing is on its way out, a thread that has just heard of a result may submit the next task by itself,
   and one that has more to say what it has so far: the cluster begins with it meanwhile.
2. The states of keys are weak: a state is dead when no future holds it. Looking a key up, making its state and
   queueing what goes with it happen under one lock, and so does the release of a dead one's key: the scheduler
   never sees a release that overtakes, or undoes, a newer wish.
3. States change on the loop, or in a thread that reads the link in its place (``own_reading``): never in two at once.
4. A caller may be interrupted (Ctrl-C) at any instruction. So what a caller's thread does is in such an order that
   each prefix of it does no harm, and a death is noted by C code: an interrupt in a callback written in Python
   would be swallowed. The loop looks for the dead now and then, as long as there are states.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from itertools import groupby, islice
from typing import Any

from nbcluster.client.states import CANCELLED, ERROR, PENDING, FutureState, Origin
from nbcluster.client.submission import joined
from nbcluster.comm.awake import AwakeLoop
from nbcluster.comm.base import Connection
from nbcluster.emptied import give_back
from nbcluster.errors import ClosedClientError
from nbcluster.protocol.messages import CancelKeys, ReleaseKeys, RetryKeys, SubmitTasks
from nbcluster.protocol.records import Message
from nbcluster.types import Key

_LOOK_SOON, _LOOK_LATE = 0.01, 0.2
"""Seconds between two looks for dead states: after one that found some, and when none has died for long."""

_RELEASES = 2000
"""Keys that are let go of at a time, at most: when nothing else goes on."""

_QUIET = 2
"""Looks without a word from here or there, after which nothing else seems to go on, if no result is awaited."""

_LONG_QUIET = 30
"""And if one is: its task takes long. The scheduler may be silent only because it is busy with what was released."""

_RELEASES_BUSY = 200
"""And at a look while something else does, if more have died since the last one than were let go of."""

_RELEASES_FEW = 50
"""And if not. Besides, as many are let go of as are new: so there are never more."""

_MADE_FEW = 32
"""New states up to which no dead are buried when something is said, if the next look is near: then as many will be."""

_MADE_UNHEARD = 1000
"""States up to which the loop need not hear of new ones: it looks for as many dead."""

_SMALL, _MUCH = 4096, 64 * 1024
"""Bytes of function and arguments up to which a thread itself may submit: a task, and many with more to come."""


class Wants:
    """The keys of a client that are wanted, and the way out for all that it says."""

    def __init__(self, connection: Connection) -> None:
        self.closed_because = ""
        self.loop = asyncio.get_running_loop()
        """The loop that reads the link, unless a thread does in its place."""
        self._connection = connection
        self._lock = threading.RLock()
        self._states: dict[Key, _Ref] = {}
        self._dead: deque[_Ref] = deque()
        self._made = 0
        """How many states were made since the last flush, about."""
        self.quiet = 0
        """How many looks ago something was said or heard."""
        self._look_again: asyncio.TimerHandle | None = None
        self._context = Context()
        """For what the loop does for us: it is not to hold that of whoever happened to have it begin."""
        self._look_after = _LOOK_SOON
        self._dead_before = 0
        """How many states were dead, and their keys not let go of, after the last look."""
        self._outgoing: deque[Message | _Bar] = deque()
        self._let_go = 0
        """How many keys were released or cancelled so far; an interrupt may leave it too small, never too large."""
        self.submitted = 0
        """How often something was said of keys that were wanted."""
        self._wake_pending = False
        self._flushing = False
        self.alone = False
        """A thread has just heard of a result, and nobody has said anything since: it may say the next thing itself."""
        self._asks = False
        """Such a thread has something to say, but cannot do so itself: it most likely waits for the result."""
        self._awake = AwakeLoop(self.loop)
        self.before_flush: Callable[[], object] = lambda: None
        """Called on the loop when somebody has something to say, and maybe waits for an answer."""
        self.refused: Callable[[Message, Exception], object] = _raise
        """Is told on the loop of a message that cannot be sent, and why: somebody may wait for an answer."""

    # --- from any thread ---

    def add(
        self,
        keys: Iterable[Key],
        context: Context | None,
        then: Message | None,
        cell: str | None = None,
        more: bool = False,
    ) -> list[FutureState]:
        """Find or make the states of keys, and queue the message that goes with them.

        Args:
            keys: which.
            context: of who wants them; to be held until their futures do.
            then: the message.
            cell: which run of which cell wants them.
            more: the caller has more to say, and computes it now: this is not to wait until the loop gets to it.
        """
        states = []
        known, note_death = self._states, self._dead.append
        origin = Origin(None if context is None else weakref.ref(context), cell)
        with self._lock:
            self.check_open()
            before = len(known)
            for key in keys:
                ref = known.get(key)
                state = None if ref is None else ref()
                if state is None or state.status == CANCELLED:
                    if ref is not None and state is None:  # it has died, and the loop has not seen it yet
                        self._release(key)
                    state = FutureState(key, origin, self._let_go)
                    ref = _Ref(state, note_death)
                    ref.key = key
                    known[key] = ref
                states.append(state)
            self._made += len(known) - before
            if then is not None:
                if not self._sent_at_once(then, more):
                    self._outgoing.append(then)
                    self._wake()
                self.submitted += 1  # last: what is counted is on its way
        return states

    def _sent_at_once(self, message: Message, more: bool) -> bool:
        """Submit small tasks from this thread, if nothing else is about to be sent."""
        alone, self.alone = self.alone, False
        if not (alone or more) or self._outgoing or self._flushing:  # in this order: it is set, then the queue emptied
            return False
        if type(message) is not SubmitTasks or message.frames or message.definition.frames:
            return False
        if len(message.definition.data) + sum(map(len, message.arguments)) > (_MUCH if more else _SMALL):
            return False
        self.quiet = 0
        if self._look_again is None or self._made > _MADE_UNHEARD or (more and self._connection.lent):
            self._wake()  # first: who is interrupted later has it look for the dead, and read the answers, all the same
        sent = self._connection.send_at_once(message, _nothing, more)
        self._asks = alone and not sent
        return sent

    def post(self, message: Message) -> None:
        """Send a message after all that were queued before.

        Raises:
            ClosedClientError: there is no scheduler any more.
        """
        self.check_open()
        self._outgoing.append(message)
        self._wake()

    def bar(self) -> Callable[[], None]:
        """Say nothing that is queued from now on, until what this returns is called."""
        bar = _Bar()
        self._outgoing.append(bar)

        def lift() -> None:
            bar.lifted = True
            self.on_loop(self.flush)

        return lift

    def cancel(self, message: CancelKeys) -> None:
        """Cancel keys: here at once, and on the cluster. Who wants one of them from now on gets a new state."""
        known = self._states
        with self._lock:
            self.check_open()
            states = [state for key in message.keys if (ref := known.get(key)) is not None and (state := ref())]
            self.on_loop(_cancel, states, message.reason, message.msg)
            self._outgoing.append(message)
            self._let_go += len(message.keys)
            for key in message.keys:
                known.pop(key, None)
            self._wake()

    def cancel_cell(self, cell: str, reason: str, msg: str) -> int:
        """Cancel what a cell has submitted and is still pending. Returns how many that were."""
        with self._lock:
            states = [state for ref in list(self._states.values()) if (state := ref()) is not None]
        keys = [state.key for state in states if state.cell == cell and state.status == PENDING]
        if keys:
            try:
                self.cancel(CancelKeys(keys, reason, msg))
            except ClosedClientError:
                return 0  # then they have been cancelled already
        return len(keys)

    def retry(self, states: list[FutureState]) -> None:
        """Have erred keys run again: they are pending from now on."""
        self.check_open()
        self.on_loop(self._retry, states)

    def release_dead(self) -> None:
        """Let go of the keys of all states that have died: what is said next may give them a new meaning."""
        dead, known = self._dead, self._states
        with self._lock:
            for _ in range(len(dead)):
                ref = dead[0]
                if known.get(ref.key) is ref:
                    self._release(ref.key)
                    del known[ref.key]
                dead.popleft()

    def on_loop(self, function: Callable[..., object], *args: Any) -> None:
        """Call something on the loop, soon. If the loop is gone, nothing changes any more, and it is called here."""
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            if not self.loop.is_closed():
                raise
            function(*args)

    def check_open(self) -> None:
        """Raise a ``ClosedClientError`` if there is no scheduler any more."""
        if self.closed_because:
            raise ClosedClientError(
                f"This client has no scheduler any more: {self.closed_because}. Make a new Client()."
            )

    def _release(self, key: Key) -> None:
        self._outgoing.append(ReleaseKeys([key]))
        self._let_go += 1

    def _wake(self) -> None:
        if self._wake_pending:
            return
        self._wake_pending = True
        try:
            self.loop.call_soon_threadsafe(self.flush, context=self._context)
        except RuntimeError:
            pass  # the loop is gone when the interpreter shuts down; then nobody waits for this either
        except BaseException:  # an interrupt: nobody knows whether the loop was woken
            self._wake_pending = False
            raise

    # --- on the loop ---

    @property
    def runs_here(self) -> bool:
        """Whether the caller is on the loop that reads the link."""
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False

    @property
    def all_said(self) -> bool:
        """True if nothing waits to be sent."""
        return not self._outgoing

    def state(self, key: Key, let_go: int | None = None) -> FutureState | None:
        """The state of a key, if somebody still holds it.

        Args:
            key: which.
            let_go: comes with what the scheduler says of it: what is of a former meaning of the key is for nobody.
        """
        [state] = self.states((key,), let_go)
        return state

    def states(self, keys: Iterable[Key], let_go: int | None = None) -> list[FutureState | None]:
        """The same for many keys."""
        known, found = self._states, []
        for key in keys:
            ref = known.get(key)
            state = None if ref is None else ref()
            found.append(None if state is None or (let_go is not None and let_go < state.since) else state)
        return found

    def flush(self) -> None:
        """Say all that is queued, and that the dead are not wanted any more: as many as there are new ones, if many."""
        self._wake_pending = False
        self.before_flush()
        looks_soon = self._look_again is not None and self._look_after == _LOOK_SOON
        if looks_soon and self._made < _MADE_FEW:
            self._say_all()
        else:
            self._flush(self._made)
        self.quiet = 0
        if self._asks:
            self._asks = False
            self._awake.asked()

    def heard(self) -> None:
        """The scheduler has said something."""
        self.quiet = 0
        self._awake.answered()

    def _flush(self, releases: int) -> None:
        self._made = 0
        if min(releases, len(self._dead)) > _RELEASES_BUSY:
            self._say_all()
            # Not in the same turn: it takes time here and there, and what was said may be urgent.
            self.loop.call_soon(self._bury_and_say, releases, context=self._context)
        else:
            self._bury_and_say(releases)

    def _bury_and_say(self, releases: int) -> None:
        self._bury(releases)
        self._say_all()
        if releases > _RELEASES and self._dead:
            self.loop.call_soon(self._bury_and_say, releases - _RELEASES, context=self._context)

    def _say_all(self) -> None:
        self._flushing = True  # first: what is taken out of the queue must not be overtaken
        try:
            self._say()
        finally:
            self._flushing = False

    def _say(self) -> None:
        messages = _taken(self._outgoing)
        if not messages or self._connection.closed:
            return
        try:
            self._connection.send_now(*messages)
        except Exception:  # one of them cannot be sent, so none was: the others can
            for message in messages:
                self._say_alone(message)

    def _say_alone(self, message: Message) -> None:
        try:
            if not self._connection.closed:
                self._connection.send_now(message)
        except Exception as error:
            self.refused(message, error)

    def _let_go_of_dead(self, most: int) -> None:
        """The same for many at a time, in one message. On the loop."""
        dead, known = self._dead, self._states
        with self._lock:
            refs = list(islice(dead, most))
            keys = [ref.key for ref in refs if known.get(ref.key) is ref]
            if keys:
                self._outgoing.append(ReleaseKeys(keys))
                self._let_go += len(keys)
            for key in keys:
                del known[key]
            give_back(known)
            for _ in refs:
                dead.popleft()

    def _bury(self, most: int) -> None:
        """Release the keys of states that have died; look again, as long as others can.

        A few at a time: it is not urgent, and a scheduler that forgets a million keys does nothing else meanwhile.
        """
        if self._dead:
            self._let_go_of_dead(min(most, _RELEASES))
            self._look_after = _LOOK_SOON
        if (self._dead or self._states) and self._look_again is None and not self.closed_because:
            self._look_again = self.loop.call_later(self._look_after, self._look, context=self._context)

    def _look(self) -> None:
        self._look_again = None
        self._look_after = min(2 * self._look_after, _LOOK_LATE)
        self.quiet += 1
        if self.quiet > (_LONG_QUIET if self._awaits_result else _QUIET):
            releases = _RELEASES
        else:
            more = len(self._dead) - self._dead_before
            releases = max(self._made, min(max(more, _RELEASES_FEW), _RELEASES_BUSY))
        self._flush(releases)
        self._dead_before = len(self._dead)

    @property
    def _awaits_result(self) -> bool:
        """Whether the latest result that somebody wants is still to come: most often the last one to come."""
        with self._lock:
            latest = next(reversed(self._states.values()), None)
        state = None if latest is None else latest()
        return state is not None and state.status == PENDING

    def _retry(self, states: list[FutureState]) -> None:
        for state in states:
            if state.status == ERROR:
                state.pend()
        if not self.closed_because:
            self.post(RetryKeys([state.key for state in states]))

    def alive(self) -> dict[Key, FutureState]:
        """The states that somebody holds, by key."""
        with self._lock:
            refs = list(self._states.items())
        return {key: state for key, ref in refs if (state := ref()) is not None}

    def end(self, reason: str) -> list[FutureState]:
        """From now on nothing more is said, because of ``reason``. Returns the states that are left."""
        with self._lock:
            self.closed_because = reason
            states = [state for ref in list(self._states.values()) if (state := ref()) is not None]
        if self._look_again is not None:
            self._look_again.cancel()
        return states


class _Bar:
    """Stands in the queue for something that others have to do before what comes after it is said."""

    __slots__ = ("lifted",)

    def __init__(self) -> None:
        self.lifted = False


def _not_barred(outgoing: deque[Message | _Bar]) -> list[Message]:
    found: list[Message] = []
    for _ in range(len(outgoing)):
        first = outgoing.popleft()
        if not isinstance(first, _Bar):
            found.append(first)
        elif not first.lifted:
            outgoing.appendleft(first)
            break
    return found


def _taken(outgoing: deque[Message | _Bar]) -> list[Message]:
    """What waits by now and is not barred, taken out, in order; neighbours that can be said in one message are one."""
    waiting = _not_barred(outgoing)
    if len(waiting) == 1:
        return waiting
    messages: list[Message] = []
    for kind, group in groupby(waiting, type):
        if kind is SubmitTasks:
            messages += joined(list(group))  # type: ignore[arg-type]
        elif kind is ReleaseKeys:
            messages.append(ReleaseKeys([key for release in group for key in release.keys]))  # type: ignore[attr-defined]
        else:
            messages += group
    return messages


class _Ref(weakref.ref[FutureState]):
    """A weak reference that knows its key."""

    __slots__ = ("key",)
    key: Key


def _raise(message: Message, error: Exception) -> None:
    raise error


def _nothing() -> None:
    """There is nothing to note before a message is sent."""


def _cancel(states: list[FutureState], reason: str, msg: str) -> None:
    for state in states:
        state.cancel(reason, msg)
