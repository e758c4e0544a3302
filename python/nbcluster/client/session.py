"""A client's link to its scheduler, from connecting to its end: what comes in, what is asked, what is fetched.

What goes out, and the states of keys, are in ``wants``.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbcluster import errors
from nbcluster.client.collecting import Collector
from nbcluster.client.coordination.link import CoordinationLink
from nbcluster.client.delivering import Deliveries
from nbcluster.client.generations import Generations
from nbcluster.client.greeting import Greeting
from nbcluster.client.loaded_ahead import LoadedAhead
from nbcluster.client.log_records import reemit
from nbcluster.client.own_reading import OwnReading
from nbcluster.client.states import CANCELLED, PENDING, Countdown, FutureState, finish_all
from nbcluster.client.unsendable import refuse
from nbcluster.client.wants import Wants
from nbcluster.comm import tls_contexts
from nbcluster.comm.base import Connection
from nbcluster.comm.descriptors import DescriptorLink
from nbcluster.comm.peers import PeerPool
from nbcluster.commands import AnyAnswer, AnyCommand, View
from nbcluster.errors import ClosedClientError
from nbcluster.protocol.delivery import Receivers
from nbcluster.protocol.inspection import AnyQuestion, Hurry, Inspect, Inspected, LogEntry
from nbcluster.protocol.messages import (
    Answered,
    Call,
    CallFailed,
    KeyErred,
    KeysCancelled,
    KeysDone,
    KeysPending,
    Locate,
    Located,
    Location,
    Pushed,
    Stopping,
    TaskOutput,
    Welcome,
)
from nbcluster.protocol.operating import OperationDone
from nbcluster.protocol.payload import Frame
from nbcluster.protocol.records import Message
from nbcluster.protocol.recreation import TaskDescribed
from nbcluster.protocol.running import CallOutcome, FunctionRan
from nbcluster.snapshot import ClusterView
from nbcluster.store.depot_links import link_within
from nbcluster.store.shared import SharedStore
from nbcluster.types import Address, Key

if TYPE_CHECKING:
    from nbcluster.comm.refilling import RefilledMemory

logger = logging.getLogger("nbcluster.client")

TIDY_PAUSE = 1.0
"""Seconds between two looks at what has become of the shared memory that this process provides."""


class Session:
    """One link of a client. Everything here happens on its loop.

    Args:
        connection: the link.
        peers: links to workers.
        greeting: what was said on the link first.
        token: the cluster's.
    """

    def __init__(self, connection: Connection, peers: PeerPool, greeting: Greeting, token: bytes = b"") -> None:
        self._token = token
        self.connection = connection
        self.wants = Wants(connection)
        self.reading = OwnReading(connection, self.wants)
        self.wants.before_flush = self.reading.take_back
        self.generations = Generations()
        self._known = 0
        """How many submissions the scheduler is known to have read."""
        self._after: tuple[Session, int] | None = None
        """So many submissions of another client are to be read before what is said now."""
        if connection.lends:
            connection.allow_threads()
        self.view: ClusterView | None = None
        """The latest view that the cluster pushed."""
        self.shared: SharedStore | None = None
        """The memory that this process shares with the cluster, if it is on the cluster's host."""
        self._deliveries: Deliveries | None = None
        """What is too large to go through the scheduler, if that shares memory with workers but not with us."""
        self._refilled: RefilledMemory | None = None
        """What large results are read to, of which we share no memory."""
        self._tidying = False
        self.of_tasks = False
        """It is that of a worker's tasks."""
        self._peers = peers
        self.results = Collector(self.wait, self._locate, peers.fetch, self.wants.post)
        self._welcome: asyncio.Future[Welcome] = self.wants.loop.create_future()
        self._greeting = greeting
        self._calls = greeting.calls
        self.wants.refused = lambda message, error: refuse(message, error, self._calls, self.wants.state)
        self.coordination = CoordinationLink(self.wants, self._calls)
        self._on_message: dict[type, Callable[[Any], None]] = {
            KeysDone: self._keys_done,
            KeyErred: self._key_erred,
            KeysPending: self._keys_pending,
            KeysCancelled: self._keys_cancelled,
            TaskOutput: self._task_output,
            Receivers: lambda message: self._calls.answer(message.request, message),
            Located: lambda message: self._calls.answer(message.request, message.items),
            TaskDescribed: lambda message: self._calls.answer(message.request, message),
            Answered: self._calls.answered,
            Inspected: lambda message: self._calls.answer(message.request, message.answer),
            LogEntry: reemit,
            CallFailed: self._calls.failed,
            OperationDone: lambda message: self._calls.answer(message.request, message.answer),
            FunctionRan: lambda message: self._calls.answer(message.request, message.outcomes),
            Pushed: lambda message: self._viewed(message.answer),
            Welcome: self._welcomed,
            Stopping: lambda message: self._end(f"the cluster was closed: {message.reason}"),
            **self.coordination.on_message,
        }

    async def start(self, timeout: float) -> Welcome:
        """Listen until the greeting is answered; returns what the scheduler says of itself in these seconds."""
        self.connection.start(self)
        patience = self.wants.loop.call_later(timeout, self._unanswered, timeout)
        try:
            welcome = await self._welcome
        finally:
            patience.cancel()
        if welcome.tls is not None and self._peers.ssl is None:
            self._peers.ssl = tls_contexts.connecting(welcome.tls)
        if welcome.shared:
            self._share_memory(Path(welcome.shared))
        try:
            self._viewed(await self._greeting.view)
        except errors.BlockedHandlerError as error:
            logger.info("What this client shows of its cluster is as of when it last asked: %s", error)
        return welcome

    def _welcomed(self, message: Welcome) -> None:
        if not self._welcome.done():
            self._welcome.set_result(message)

    def _unanswered(self, timeout: float) -> None:
        if not self._welcome.done():
            where = self.connection.peer_address
            text = f"{where} did not say welcome within {timeout:g} s; give a longer timeout="
            self._welcome.set_exception(errors.TimeoutError(text))

    def _share_memory(self, where: Path) -> None:
        if not where.exists():  # it is on another host
            from nbcluster.comm.refilling import RefilledMemory  # few clients ever need it

            self._peers.allocate = self._refilled = RefilledMemory(self.wants.loop)
            self._deliveries = Deliveries(self.wants.loop, self._question, self._token, lambda: self._peers.ssl)
            return
        self.connection.same_host = True  # whichever way we came
        link = link_within(str(where), direct=self.connection.in_process) or DescriptorLink(where, self._token)
        self.shared = self._peers.shared = SharedStore(link, refill=True)
        self.connection.share(self.shared)

    @property
    def share(self) -> Callable[[memoryview, bool], Frame] | None:
        """Puts bytes where the cluster's workers see them; None if they have to be sent through the scheduler."""
        if self.shared is not None and self.connection.same_host:
            return self.shared.share
        return self._deliveries.share if self._deliveries is not None and self._deliveries.usable else None

    # --- asking ---

    async def ask(self, make: Callable[[int], Message]) -> Any:
        """Send the message that ``make`` makes of a number, and wait for the answer that bears it.

        Raises:
            Exception: what the cluster says is wrong with it, by its own type.
        """
        return await self._question(make)

    def _question(self, make: Callable[[int], Message]) -> asyncio.Future[Any]:
        number, future = self._calls.open()
        self.wants.post(make(number))
        return future

    async def call(self, command: AnyCommand) -> AnyAnswer:
        """Have the cluster carry out a command.

        Raises:
            Exception: what the cluster says is wrong with it, by its own type.
        """
        answer: AnyAnswer = await self.ask(lambda number: Call(number, command))
        return answer

    async def inspect(self, question: AnyQuestion, patience: float | None = None) -> Any:
        """Ask the scheduler something; after ``patience`` seconds it is to say what it knows from workers by then.

        Raises:
            ValueError: what it says is wrong with the question.
        """
        number, future = self._calls.open()
        self.wants.post(Inspect(number, question))
        hurry = None
        if patience is not None:
            hurry = self.wants.loop.call_later(patience, lambda: self.wants.post(Hurry(number)))
        try:
            return await future
        finally:
            if hurry is not None:
                hurry.cancel()

    async def run(self, make: Callable[[int], Message]) -> dict[Address, CallOutcome]:
        """Have workers, or the scheduler, make a call beside the tasks; ``make`` is given the request's number."""
        outcomes: dict[Address, CallOutcome] = await self.ask(make)
        return outcomes

    async def operate(self, make: Callable[[int], Message]) -> dict[str, str]:
        """Have something done to workers or data; ``make`` is given the request's number."""
        answer: dict[str, str] = await self.ask(make)
        return answer

    async def _locate(self, keys: list[Key]) -> list[Location]:
        locations: list[Location] = await self.ask(lambda number: Locate(number, keys))
        return locations

    async def make_known(self) -> None:
        """Wait until the scheduler has read all that was submitted so far."""
        submitted = self.wants.submitted
        if submitted != self._known:
            await self._locate([])  # the link is FIFO: what is answered was read after all that was sent before
            self._known = submitted

    def when_known(self, then: Callable[[], object]) -> None:
        """Call ``then`` once the scheduler has read all that was submitted so far, or will read nothing more."""
        submitted = self.wants.submitted
        if submitted == self._known or self.wants.closed_because:
            then()
            return

        def known(answer: asyncio.Future[Any]) -> None:
            if not answer.cancelled() and answer.exception() is None:
                self._known = max(self._known, submitted)
            then()

        self._question(lambda number: Locate(number, [])).add_done_callback(known)

    def say_after(self, other: Session) -> None:
        """What is said from now on is to be read after all that another client has submitted so far."""
        submitted = other.wants.submitted
        if submitted != other._known and self._after != (other, submitted):
            self._after = (other, submitted)  # once for many
            lift = self.wants.bar()

            def known() -> None:
                self._after = None
                lift()

            other.when_known(known)

    async def ask_peer(self, address: Address, make: Callable[[int], Message]) -> Any:
        """Ask a worker something.

        Raises:
            CommError: it cannot be reached, or was lost before it answered.
        """
        return await self._peers.ask(address, make)

    # --- results ---

    def on_loop(self, function: Callable[..., object], *args: Any) -> None:
        """Call something on the loop, soon, that is to hear of results. From any thread."""
        self.wants.on_loop(self._call, function, args)

    def _call(self, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.reading.take_back()
        function(*args)

    async def wait(
        self,
        states: Collection[FutureState],
        *,
        enough: int | None = None,
        stop_early: bool = False,
        nudge: Callable[[], object] | None = None,
    ) -> bool:
        """Wait until all states (or ``enough`` pending ones) are done; ``stop_early``: or one fails: then it is False.

        ``nudge`` is called whenever there are some more results to load: see ``LoadedAhead``.
        """
        self.reading.take_back()
        done = self.wants.loop.create_future()
        countdown = Countdown(
            states,
            lambda: None if done.done() else done.set_result(None),
            enough=enough,
            stop_early=stop_early,
            nudge=nudge,
            portion=LoadedAhead.PORTION,
        )
        try:
            await done
        finally:
            countdown.cancel()
        return not countdown.failed

    # --- what comes in ---

    def received(self, messages: list[Any]) -> None:
        """Messages of the scheduler."""
        self.wants.heard()
        for message in messages:
            self._on_message[type(message)](message)

    def _keys_done(self, message: KeysDone) -> None:
        items = message.items
        states = self.wants.states([item.key for item in items], message.let_go)
        there = zip(states, items, strict=True)
        finish_all((state, item) for state, item in there if state is not None and state.status != CANCELLED)

    def _key_erred(self, message: KeyErred) -> None:
        state = self.wants.state(message.key, message.let_go)
        if state is not None and state.status != CANCELLED:
            state.fail(message.error, message.blamed)

    def _keys_pending(self, message: KeysPending) -> None:
        for key in message.keys:
            state = self.wants.state(key)
            if state is not None and state.status != CANCELLED:
                state.pend()

    def _keys_cancelled(self, message: KeysCancelled) -> None:
        for key in message.keys:
            state = self.wants.state(key, message.let_go)
            if state is not None:
                state.cancel(message.reason, message.msg)

    def _task_output(self, message: TaskOutput) -> None:
        if not message.key and (self.of_tasks or getattr(sys.stdout, "is_forwarded", False)):
            return  # in a worker: it would come back, and again
        state = self.wants.state(message.key)
        write = _write_out if message.stream == "stdout" else _write_err
        try:
            context = None if state is None else state.context
            if context is not None:
                context.run(write, message.text)
            else:
                write(message.text)
        except Exception as error:  # e.g. nobody reads our stdout any more: no reason to lose the scheduler too
            logger.info("Could not print what %s printed: %r", message.key, error)

    def _viewed(self, answer: AnyAnswer) -> None:
        if isinstance(answer, View):
            self.view = answer.cluster
            self._tidy_shared()  # something happened: maybe memory became free

    def _tidy_shared(self) -> None:
        """Give back shared memory that nobody uses any more, now and as long as there may be some."""
        if self.shared is None or not self.shared.untidy or self._tidying or self.wants.closed_because:
            return
        self._tidying = True
        self.wants.loop.run_in_executor(None, _tidy, self.shared).add_done_callback(self._tidied)

    def _tidied(self, done: asyncio.Future[None]) -> None:
        self._tidying = False
        if not done.cancelled() and self.shared is not None and self.shared.untidy:
            self.wants.loop.call_later(TIDY_PAUSE, self._tidy_shared)

    # --- the end ---

    def lost(self, error: Exception | None) -> None:
        """The link has ended."""
        why = error or "closed by the other side"
        self._end(f"the connection to {self.connection.peer_address} was lost ({why})")

    async def close(self, reason: str) -> None:
        """Let go of everything: pending futures are cancelled, the link is closed."""
        self.wants.flush()
        self._end(reason)
        await self.coordination.owner.close()
        await self.connection.close()
        await self._peers.close()
        self._leave_shared()

    def close_soon(self, reason: str) -> None:
        """Close without waiting: for a client that nobody holds any more."""
        self.wants.flush()
        self._end(reason)
        self.connection.abort()
        self._leave_shared()

    def _leave_shared(self) -> None:
        if self._deliveries is not None:
            self._deliveries.close()
        if self._refilled is not None:
            self._refilled.close()
        if self.shared is not None:
            self.shared.close()

    def _end(self, reason: str) -> None:
        if self.wants.closed_because:
            return
        for state in self.wants.end(reason):
            if state.status == PENDING or state.payload is None:
                state.cancel("scheduler-connection-lost", f"{reason[:1].upper()}{reason[1:]}.")
        gone = ClosedClientError(f"This client has no scheduler any more: {reason}.")
        self._calls.end(gone)
        if not self._welcome.done():
            self._welcome.set_exception(gone)
            self._welcome.exception()  # nobody may be waiting for it, and that is nothing to complain of


def _tidy(shared: SharedStore) -> None:
    try:
        shared.tidy()
    except OSError as error:  # the cluster is gone, and so is its memory
        logger.debug("Could not tidy: %s", error)


def _write_out(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _write_err(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
