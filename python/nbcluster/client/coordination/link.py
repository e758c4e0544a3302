"""A session's requests to the scheduler's coordination: asking, waiting, giving up, and what comes unasked.

A request can be given up at any moment, by a timeout, a cancellation or an interrupt in whichever thread: what it was
handed meanwhile goes back (``protocol.coordination``, rule 2), and nothing is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from nbcluster.client.wants import Wants
from nbcluster.comm.tasks import TaskOwner
from nbcluster.deadlines import within
from nbcluster.errors import CancelledError, ClosedClientError
from nbcluster.protocol.calls import Calls
from nbcluster.protocol.coordination import (
    EventsFound,
    HandedOver,
    LeaseGranted,
    MetadataFound,
    Received,
    RenewLeases,
    Replied,
    TopicNews,
    Withdraw,
)
from nbcluster.protocol.records import Message

logger = logging.getLogger("nbcluster.client")

Make = Callable[[int], Message]
"""Makes a request of its number."""


class CoordinationLink:
    """What a session has to do with coordination."""

    def __init__(self, wants: Wants, calls: Calls) -> None:
        self.wants = wants
        self.calls = calls
        self.on_news: Callable[[TopicNews], None] = lambda news: None
        """Is told what was logged under topics that the client has subscribed to."""
        self.on_message: dict[type, Callable[[Any], None]] = {
            TopicNews: lambda news: self.on_news(news),
            **dict.fromkeys((Replied, LeaseGranted, HandedOver, MetadataFound, EventsFound), self._answered),
        }
        self.owner = TaskOwner("coordination")
        """Of what runs as long as the session does."""
        self._leases: dict[int, None] = {}
        self._renewing: asyncio.TimerHandle | None = None

    def _answered(self, message: Any) -> None:
        self.calls.answer(message.request, message)

    def post(self, message: Message) -> None:
        """Say something that is not answered; without a scheduler there is nobody to say it to."""
        with contextlib.suppress(ClosedClientError):
            self.wants.post(message)

    def tell(self, make: Make) -> None:
        """Ask for something whose answer nobody waits for. From any thread."""

        def ask() -> None:
            number, answer = self.calls.open()
            answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
            self.post(make(number))

        try:
            here = asyncio.get_running_loop() is self.wants.loop
        except RuntimeError:
            here = False
        if here:  # before whatever the caller asks for next
            ask()
        else:
            self.wants.on_loop(ask)

    # --- leases ---

    def keep_lease(self, lease: int, seconds: float) -> None:
        """Renew this lease until it is let go of. On the loop."""
        self._leases[lease] = None
        if self._renewing is None:
            self._renew(seconds / 5)

    def _renew(self, interval: float) -> None:
        self._renewing = None
        if self._leases and not self.wants.closed_because:
            self.post(RenewLeases(list(self._leases)))
            self._renewing = self.wants.loop.call_later(interval, self._renew, interval)

    def let_go(self, lease: int) -> None:
        """This lease is not renewed any more. From any thread."""
        self._leases.pop(lease, None)

    def give_back(self, lease: int) -> None:
        """Release a lease, without waiting for the answer. From any thread."""
        self.let_go(lease)
        self.post(Withdraw(lease, True))


class Request:
    """One request: made and given up in the caller's thread, asked on the loop."""

    __slots__ = ("_abandoned", "_link", "_settled", "number")

    def __init__(self, link: CoordinationLink) -> None:
        self._link = link
        self.number: int | None = None
        self._abandoned = False
        self._settled = False

    async def ask(self, make: Make, timeout: float | None) -> Any:
        """Send it and wait for the answer; after ``timeout`` seconds, for what the scheduler says then. On the loop."""
        link = self._link
        if self._abandoned:
            raise CancelledError("the request was given up before it was made")
        self.number, answer = link.calls.open()
        link.wants.post(make(self.number))
        if timeout is not None and timeout > 0:
            try:
                await within(asyncio.shield(answer), timeout)
            except asyncio.TimeoutError:
                link.wants.post(Withdraw(self.number, False))
        reply = await answer
        if type(reply) is LeaseGranted and reply.seconds and not self._abandoned:
            link.keep_lease(reply.request, reply.seconds)
        return reply

    def settle(self) -> None:
        """What was handed over has been received."""
        self._settled = True
        if self.number is not None:
            self._link.post(Received(self.number))

    def abandon(self) -> None:
        """Nobody wants the answer any more. From any thread; idempotent."""
        if self._abandoned or self._settled:
            return
        self._abandoned = True
        self._link.wants.on_loop(self._give_up)

    def _give_up(self) -> None:
        if self.number is not None:
            self._link.calls.answer(self.number, None)
            self._link.give_back(self.number)
