"""A whole client on a stage: asynchronous, its scheduler played by the test."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

from nbcluster.client import connected
from nbcluster.client.client import Client
from nbcluster.client.target import Target
from nbcluster.commands import AnyAnswer, AnyCommand, GetView, View
from nbcluster.protocol import messages as m
from nbcluster.protocol.exceptions import dump_exception
from nbcluster.protocol.inspection import Inspect, Inspected
from nbcluster.protocol.records import Message
from nbcluster.protocol.serialize import dump
from nbcluster.snapshot import ClusterView
from tests.support.client_stage import DEADLINE, let_go_in
from tests.support.eventually import soon
from tests.support.fake_cluster import make_view
from tests.support.fake_connection import FakeConnection

WELCOME = m.Welcome("c1", "ada", "tcp://127.0.0.1:8786", "http://127.0.0.1:8787/status")


class ClientStage:
    """What a client says to its scheduler, and what that answers.

    Attributes:
        answers: what is answered to each command, by its type.
        insights: what is answered to each question about the scheduler and its workers, in turn.
    """

    client: Client

    def __init__(self) -> None:
        self.link = FakeConnection()
        self.answers: dict[type[AnyCommand], Callable[[], AnyAnswer]] = {}
        self.insights: list[Any] = []
        self.asked: list[Any] = []
        self._send = self.link.send
        self.link.send = self._answering  # type: ignore[method-assign]

    async def connect(self, address: str, *, opening: tuple[Message, ...], **options: Any) -> FakeConnection:
        """In place of the function that connects clients."""
        _, call = opening
        assert isinstance(call, m.Call)
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: self.link.hear(WELCOME, m.Answered(call.id, View(cluster=make_view()))))
        return self.link

    def show(self, *views: ClusterView) -> None:
        """Whoever asks for a view is shown these in turn, then the last one again; by default two idle workers."""
        left = list(views) or [make_view()]
        self.answers[GetView] = lambda: View(cluster=left.pop(0) if len(left) > 1 else left[0])

    def hear(self, *messages: Message) -> None:
        """The scheduler says something."""
        self.link.hear(*messages)

    async def said(self, kind: type[Any], count: int = 1) -> list[Any]:
        """So many messages of a kind, once they are sent."""
        await soon(lambda: len(self.link.said(kind)) >= count, f"{count} {kind.__name__}")
        return self.link.said(kind)

    def done(self, key: str, value: Any) -> None:
        """A task is done, and its result comes along."""
        self.hear(m.KeysDone([m.KeyDone(key, type(value).__name__, 8, dump(value))], let_go_in(self.link.sent)))

    def erred(self, key: str, error: Exception) -> None:
        """A task has raised this."""
        self.hear(m.KeyErred(key, m.Raised(dump_exception(error)), key))

    def _answering(self, *messages: Message) -> None:
        self._send(*messages)
        for message in messages:
            if isinstance(message, m.Call) and type(message.command) in self.answers:
                answer: Message = m.Answered(message.id, self.answers[type(message.command)]())
            elif isinstance(message, Inspect):
                self.asked.append(message.question)
                answer = Inspected(message.request, self.insights.pop(0))
            else:
                continue
            asyncio.get_running_loop().call_soon(self.link.hear, answer)


def with_client(test: Callable[[ClientStage, Client], Awaitable[None]]) -> Callable[[], None]:
    """A test with a client that has just connected."""

    async def main() -> None:
        stage = ClientStage()
        stage.show()
        with mock.patch.object(connected, "connect", stage.connect):
            async with Client(Target("fake://scheduler", b"token"), asynchronous=True) as client:
                stage.client = client
                await test(stage, client)

    @functools.wraps(test)
    def wrapper() -> None:
        asyncio.run(asyncio.wait_for(main(), DEADLINE))

    del wrapper.__wrapped__
    return wrapper
