"""A client's link to its scheduler: what goes out from any thread, what comes in on the loop.

Rules
1. Outgoing messages of all threads pass through one queue, in order, and leave together: one wake-up per
   batch.
2. The states of keys are weak: a state is dead when no future holds it. Its death queues a release. Looking a
   key up, making its state and queueing what goes with it happen under one lock, and so does the release: the
   scheduler never sees a release that overtakes, or undoes, a newer wish.
3. States change on the loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextvars import Context
from typing import Any

from nbcluster import errors
from nbcluster.client.states import CANCELLED, FINISHED, PENDING, Countdown, FutureState
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
    Stopping,
    TaskOutput,
    Welcome,
)
from nbcluster.protocol.payload import Payload
from nbcluster.snapshot import ClusterView
from nbcluster.types import Address, Key

logger = logging.getLogger("nbcluster.client")


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
        self._states: dict[Key, weakref.ref[FutureState]] = {}
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

    def add(self, keys: Iterable[Key], context: Context | None, then: Message | None) -> list[FutureState]:
        """Find or make the states of keys, and queue the message that goes with them."""
        states = []
        known = self._states
        with self._lock:
            self._check_open()
            for key in keys:
                ref = known.get(key)
                state = None if ref is None else ref()
                if state is None or state.status == CANCELLED:
                    state = FutureState(key, context)
                    known[key] = weakref.ref(state, _Death(self, key))
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
        with self._lock:
            self._check_open()
            refs = [self._states.pop(key, None) for key in message.keys]
            self._outgoing.append(message)
            self._wake()
        for ref in refs:
            state = None if ref is None else ref()
            if state is not None:
                self.on_loop(state.cancel, message.reason, message.msg)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that everything here happens on."""
        return self._loop

    def on_loop(self, function: Callable[..., object], *args: Any) -> None:
        """Call something on the loop, soon."""
        self._loop.call_soon_threadsafe(function, *args)

    def close_soon(self, reason: str) -> None:
        """Close without waiting: for a client that nobody holds any more. On the loop."""
        self._flush()
        self._end(reason)
        self.connection.abort()

    def died(self, key: Key, ref: weakref.ref[FutureState]) -> None:
        """The last future for a key is gone."""
        with self._lock:
            if self._states.get(key) is not ref:
                return
            del self._states[key]
            if not self.closed_because:
                self._outgoing.append(_Release(key))
                self._wake()

    def _check_open(self) -> None:
        if self.closed_because:
            raise ClosedClientError(
                f"This client has no scheduler any more: {self.closed_because}. Make a new Client()."
            )

    def _wake(self) -> None:
        if not self._wake_pending:
            self._wake_pending = True
            # The loop may be gone when the interpreter shuts down; then nobody waits for this either.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._flush)

    # --- on the loop: out ---

    def _flush(self) -> None:
        self._wake_pending = False
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
            states = [state for ref in self._states.values() if (state := ref()) is not None]
        for state in states:
            if state.status == PENDING or state.payload is None:
                state.cancel("scheduler-connection-lost", f"{reason[:1].upper()}{reason[1:]}.")
        gone = ClosedClientError(f"This client has no scheduler any more: {reason}.")
        self._calls.end(gone)
        if not self._welcome.done():
            self._welcome.set_exception(gone)

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
        if state is not None and state.context is not None:
            state.context.run(write, message.text)
        else:
            write(message.text)

    def _viewed(self, answer: AnyAnswer) -> None:
        if isinstance(answer, View):
            self.view = answer.cluster


class _Death:
    """A state's weak reference's callback; it must not keep the session alive."""

    __slots__ = ("_key", "_session")

    def __init__(self, session: Session, key: Key) -> None:
        self._session = session
        self._key = key

    def __call__(self, ref: weakref.ref[FutureState]) -> None:
        self._session.died(self._key, ref)


def _write_out(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _write_err(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
