"""A client's link to its scheduler: what goes out from any thread, what comes in on the loop.

Rules
1. Outgoing messages of all threads pass through one queue, in order, and leave together: one wake-up per
   batch.
2. The states of keys are weak: a state is dead when no future holds it. Looking a key up, making its state and
   queueing what goes with it happen under one lock, and so does the release of a dead one's key: the scheduler
   never sees a release that overtakes, or undoes, a newer wish.
3. States change on the loop only.
4. A caller may be interrupted (Ctrl-C) at any instruction. So what a caller's thread does is in such an order that
   each prefix of it does no harm, and a death is noted by C code: an interrupt in a callback written in Python
   would be swallowed. The loop looks for the dead now and then, as long as there are states.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextvars import Context
from typing import Any

from nbcluster import errors
from nbcluster.client.states import CANCELLED, ERROR, FINISHED, PENDING, Countdown, FutureState
from nbcluster.comm.base import Connection
from nbcluster.comm.peers import PeerPool
from nbcluster.commands import AnyAnswer, AnyCommand, Subscribe, View
from nbcluster.errors import ClosedClientError
from nbcluster.protocol.calls import Calls
from nbcluster.protocol.messages import (
    Answered,
    Call,
    CallFailed,
    CancelKeys,
    KeyErred,
    KeysCancelled,
    KeysDone,
    KeysPending,
    Locate,
    Located,
    Location,
    Message,
    MissingData,
    Pushed,
    ReleaseKeys,
    ReportMissing,
    RetryKeys,
    Stopping,
    TaskOutput,
    Welcome,
)
from nbcluster.protocol.payload import Payload
from nbcluster.snapshot import ClusterView
from nbcluster.types import Address, Key

logger = logging.getLogger("nbcluster.client")


_LOOK_SOON, _LOOK_LATE = 0.01, 0.2
"""Seconds between two looks for dead states: after one that found some, and when none has died for long."""


class _Release:
    """Marks a key in the outgoing queue; adjacent ones become one message."""

    __slots__ = ("key",)

    def __init__(self, key: Key) -> None:
        self.key = key


class Session:
    """One link of a client, from connecting to its end."""

    def __init__(self, connection: Connection, peers: PeerPool) -> None:
        self.connection = connection
        self.view: ClusterView | None = None
        """The latest view that the cluster pushed."""
        self.closed_because = ""
        self._loop = asyncio.get_running_loop()
        self._peers = peers
        self._lock = threading.RLock()
        self._states: dict[Key, _Ref] = {}
        self._dead: deque[weakref.ref[FutureState]] = deque()
        self._look_again: asyncio.TimerHandle | None = None
        self._look_after = _LOOK_SOON
        self._outgoing: deque[Message | _Release] = deque()
        self._wake_pending = False
        self._welcome: asyncio.Future[Welcome] = self._loop.create_future()
        self._calls = Calls()
        self._on_message: dict[type, Callable[[Any], None]] = {
            KeysDone: self._keys_done,
            KeyErred: self._key_erred,
            KeysPending: self._keys_pending,
            KeysCancelled: self._keys_cancelled,
            TaskOutput: self._task_output,
            Located: lambda message: self._calls.answer(message.request, message.items),
            Answered: self._calls.answered,
            CallFailed: self._calls.failed,
            Pushed: lambda message: self._viewed(message.answer),
            Welcome: self._welcome.set_result,
            Stopping: lambda message: self._end(f"the cluster was closed: {message.reason}"),
        }

    async def start(self, timeout: float) -> Welcome:
        """Begin to listen; returns what the scheduler says of itself."""
        self.connection.start(self)
        return await asyncio.wait_for(asyncio.shield(self._welcome), timeout)

    # --- from any thread ---

    def add(
        self, keys: Iterable[Key], context: Context | None, then: Message | None, cell: str | None = None
    ) -> list[FutureState]:
        """Find or make the states of keys, and queue the message that goes with them."""
        states = []
        known, note_death = self._states, self._dead.append
        with self._lock:
            self._check_open()
            for key in keys:
                ref = known.get(key)
                state = None if ref is None else ref()
                if state is None or state.status == CANCELLED:
                    if ref is not None and state is None:  # it has died, and the loop has not seen it yet
                        self._outgoing.append(_Release(key))
                    state = FutureState(key, context, cell)
                    ref = _Ref(state, note_death)
                    ref.key = key
                    known[key] = ref
                states.append(state)
            if then is not None:
                self._outgoing.append(then)
                self._wake()
        return states

    def post(self, message: Message) -> None:
        """Send a message after all that were queued before.

        Raises:
            ClosedClientError: there is no scheduler any more.
        """
        self._check_open()
        self._outgoing.append(message)
        self._wake()

    def cancel(self, message: CancelKeys) -> None:
        """Cancel keys: here at once, and on the cluster. Who wants one of them from now on gets a new state."""
        known = self._states
        with self._lock:
            self._check_open()
            states = [state for key in message.keys if (ref := known.get(key)) is not None and (state := ref())]
            self.on_loop(_cancel, states, message.reason, message.msg)
            self._outgoing.append(message)
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
        self._check_open()
        self.on_loop(self._retry, states)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that everything here happens on."""
        return self._loop

    def on_loop(self, function: Callable[..., object], *args: Any) -> None:
        """Call something on the loop, soon. If the loop is gone, nothing changes any more, and it is called here."""
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
            function(*args)

    def close_soon(self, reason: str) -> None:
        """Close without waiting: for a client that nobody holds any more. On the loop."""
        self._flush()
        self._end(reason)
        self.connection.abort()

    def _check_open(self) -> None:
        if self.closed_because:
            raise ClosedClientError(
                f"This client has no scheduler any more: {self.closed_because}. Make a new Client()."
            )

    def _wake(self) -> None:
        if self._wake_pending:
            return
        self._wake_pending = True
        try:
            self._loop.call_soon_threadsafe(self._flush)
        except RuntimeError:
            pass  # the loop is gone when the interpreter shuts down; then nobody waits for this either
        except BaseException:  # an interrupt: nobody knows whether the loop was woken
            self._wake_pending = False
            raise

    # --- on the loop: out ---

    def _flush(self) -> None:
        self._wake_pending = False
        self._bury()
        outgoing, messages = self._outgoing, []
        released: list[Key] = []
        while outgoing:
            item = outgoing.popleft()
            if type(item) is _Release:
                released.append(item.key)
                continue
            if released:
                messages.append(ReleaseKeys(released))
                released = []
            messages.append(item)  # type: ignore[arg-type]
        if released:
            messages.append(ReleaseKeys(released))
        if messages and not self.connection.closed:
            self.connection.send(*messages)

    def _bury(self) -> None:
        """Release the keys of states that have died; look again, as long as others can."""
        dead, known = self._dead, self._states
        if dead:
            with self._lock:
                while dead:
                    ref = dead.popleft()
                    assert isinstance(ref, _Ref)
                    if known.get(ref.key) is ref:
                        del known[ref.key]
                        self._outgoing.append(_Release(ref.key))
            self._look_after = _LOOK_SOON
        if known and self._look_again is None and not self.closed_because:
            self._look_again = self._loop.call_later(self._look_after, self._look)

    def _look(self) -> None:
        self._look_again = None
        self._look_after = min(2 * self._look_after, _LOOK_LATE)
        self._flush()

    def _retry(self, states: list[FutureState]) -> None:
        for state in states:
            if state.status == ERROR:
                state.pend()
        if not self.closed_because:
            self.post(RetryKeys([state.key for state in states]))

    async def call(self, command: AnyCommand) -> AnyAnswer:
        """Have the cluster carry out a command.

        Raises:
            Exception: what the cluster says is wrong with it, by its own type.
        """
        number, future = self._calls.open()
        self.post(Call(number, command))
        answer: AnyAnswer = await future
        return answer

    async def subscribe(self, interval: float) -> None:
        """Keep ``view`` fresh."""
        self._viewed(await self.call(Subscribe(interval=interval)))

    async def _locate(self, keys: list[Key]) -> list[Location]:
        number, future = self._calls.open()
        self.post(Locate(number, keys))
        locations: list[Location] = await future
        return locations

    async def wait(
        self, states: Collection[FutureState], *, enough: int | None = None, stop_early: bool = False
    ) -> None:
        """Wait until all states (or ``enough`` pending ones) are done; ``stop_early``: or one fails."""
        done = self._loop.create_future()
        countdown = Countdown(
            states,
            lambda: None if done.done() else done.set_result(None),
            enough=enough,
            stop_early=stop_early,
        )
        try:
            await done
        finally:
            countdown.cancel()

    async def collect(self, states: Collection[FutureState], *, stop_early: bool) -> dict[Key, Payload]:
        """The payloads of those states that finish; large ones come from the workers that hold them."""
        collected: dict[Key, Payload] = {}
        while True:
            await self.wait(states, stop_early=stop_early)
            if stop_early and any(state.status not in (FINISHED, PENDING) for state in states):
                return collected
            missing = []
            for state in states:
                if state.status == FINISHED and state.key not in collected:
                    if state.payload is not None:
                        collected[state.key] = state.payload
                    else:
                        missing.append(state.key)
            if missing:
                await self._fetch(missing, collected)
            elif all(state.status != PENDING for state in states):
                return collected

    async def _fetch(self, keys: list[Key], collected: dict[Key, Payload]) -> None:
        """Fetch what is in memory somewhere; report what turns out not to be: it will be pending again."""
        by_holder: dict[Address, list[Key]] = {}
        for location in await self._locate(keys):
            if location.payload is not None:
                collected[location.key] = location.payload
            elif location.holders:
                by_holder.setdefault(location.holders[0], []).append(location.key)
        fetching = [self._fetch_from(holder, keys) for holder, keys in by_holder.items()]
        missing = []
        for payloads, not_there in await asyncio.gather(*fetching):
            collected.update(payloads)
            missing += not_there
        if missing:
            self.post(ReportMissing(missing))

    async def _fetch_from(self, holder: Address, keys: list[Key]) -> tuple[dict[Key, Payload], list[MissingData]]:
        try:
            items, missing = await self._peers.fetch(holder, keys)
        except errors.CommError as error:
            logger.info("Could not fetch %d results from %s: %s", len(keys), holder, error)
            return {}, [MissingData(key, holder) for key in keys]
        return {item.key: item.payload for item in items}, [MissingData(key, holder) for key in missing]

    # --- on the loop: in ---

    def received(self, messages: list[Any]) -> None:
        """Messages of the scheduler."""
        for message in messages:
            self._on_message[type(message)](message)

    def lost(self, error: Exception | None) -> None:
        """The link has ended."""
        why = error or "closed by the other side"
        self._end(f"the connection to {self.connection.peer_address} was lost ({why})")

    async def close(self, reason: str) -> None:
        """Let go of everything: pending futures are cancelled, the link is closed."""
        self._flush()
        self._end(reason)
        await self.connection.close()
        await self._peers.close()

    def _end(self, reason: str) -> None:
        if self.closed_because:
            return
        with self._lock:
            self.closed_because = reason
            states = [state for ref in list(self._states.values()) if (state := ref()) is not None]
        for state in states:
            if state.status == PENDING or state.payload is None:
                state.cancel("scheduler-connection-lost", f"{reason[:1].upper()}{reason[1:]}.")
        if self._look_again is not None:
            self._look_again.cancel()
        gone = ClosedClientError(f"This client has no scheduler any more: {reason}.")
        self._calls.end(gone)
        if not self._welcome.done():
            self._welcome.set_exception(gone)
            self._welcome.exception()  # nobody may be waiting for it, and that is nothing to complain of

    def _state(self, key: Key) -> FutureState | None:
        ref = self._states.get(key)
        return None if ref is None else ref()

    def _keys_done(self, message: KeysDone) -> None:
        states = self._states
        for item in message.items:
            ref = states.get(item.key)
            state = None if ref is None else ref()
            if state is not None and state.status != CANCELLED:
                state.finish(item.type_name, item.nbytes, item.payload)

    def _key_erred(self, message: KeyErred) -> None:
        state = self._state(message.key)
        if state is not None and state.status != CANCELLED:
            state.fail(message.error, message.blamed)

    def _keys_pending(self, message: KeysPending) -> None:
        for key in message.keys:
            state = self._state(key)
            if state is not None and state.status != CANCELLED:
                state.pend()

    def _keys_cancelled(self, message: KeysCancelled) -> None:
        for key in message.keys:
            state = self._state(key)
            if state is not None:
                state.cancel(message.reason, message.msg)

    def _task_output(self, message: TaskOutput) -> None:
        state = self._state(message.key)
        write = _write_out if message.stream == "stdout" else _write_err
        try:
            if state is not None and state.context is not None:
                state.context.run(write, message.text)
            else:
                write(message.text)
        except Exception as error:  # e.g. nobody reads our stdout any more: no reason to lose the scheduler too
            logger.info("Could not print what %s printed: %r", message.key, error)

    def _viewed(self, answer: AnyAnswer) -> None:
        if isinstance(answer, View):
            self.view = answer.cluster


class _Ref(weakref.ref[FutureState]):
    """A weak reference that knows its key."""

    __slots__ = ("key",)
    key: Key


def _cancel(states: list[FutureState], reason: str, msg: str) -> None:
    for state in states:
        state.cancel(reason, msg)


def _write_out(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _write_err(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
