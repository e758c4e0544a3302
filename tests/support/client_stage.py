"""A client's link to its scheduler on a stage: without a scheduler, and with workers that only hold data."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from nbcluster.client.greeting import Greeting
from nbcluster.client.session import Session
from nbcluster.client.states import FutureState
from nbcluster.comm.peers import PeerPool
from nbcluster.errors import CommClosedError
from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Payload
from tests.support.eventually import soon
from tests.support.fake_connection import FakeConnection

DEADLINE = 20.0
RESULT = Payload(b"x")


class FakePeers(PeerPool):
    """Workers by address, and what they hold."""

    def __init__(self) -> None:
        super().__init__(b"token")
        self.held: dict[str, dict[str, Payload]] = {}

    async def fetch(self, address: str, keys: list[str]) -> tuple[list[m.DataItem], list[str]]:
        if address not in self.held:
            raise CommClosedError(f"{address} does not answer")
        held = self.held[address]
        return [m.DataItem(key, held[key]) for key in keys if key in held], [key for key in keys if key not in held]


class Stage:
    """A session, its link, and the workers that it fetches from."""

    def __init__(self) -> None:
        self.link = FakeConnection()
        self.peers = FakePeers()
        self.greeting = Greeting("Client-stage", 0.5)
        self.session = Session(self.link, self.peers, self.greeting)
        self.wants = self.session.wants
        self.link.start(self.session)

    def want(self, *keys: str, **options: Any) -> list[FutureState]:
        return self.wants.add(keys, None, m.WantKeys(list(keys)), **options)

    def hear_done(self, *keys: str, payload: Payload | None = RESULT) -> None:
        """The scheduler has read all that was sent, and says that these are done."""
        self.link.hear(m.KeysDone([m.KeyDone(key, "int", 8, payload) for key in keys], let_go_in(self.link.sent)))

    async def sent(self, count: int) -> list[Any]:
        await soon(lambda: len(self.link.sent) >= count, f"{count} messages, sent {self.link.sent}")
        return self.link.sent


def let_go_in(sent: list[Any]) -> int:
    """How many keys were released or cancelled with these messages."""
    return sum(len(said.keys) for said in sent if isinstance(said, (m.ReleaseKeys, m.CancelKeys)))


def submitted(key: str, size: int = 1, **fields: Any) -> m.SubmitTasks:
    """A task that only this key names."""
    return m.SubmitTasks(b"f", Payload(b"f"), [key], [b"x" * size], **fields)


def say_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What threads send themselves."""
    said: list[Any] = []

    def send_at_once(message: Any, first: object, keep_gil: bool) -> bool:
        said.append(message)
        return True

    monkeypatch.setattr(stage.link, "send_at_once", send_at_once)
    return said


def staged(test: Callable[[Stage], Awaitable[None]]) -> Callable[[], None]:
    def wrapper() -> None:
        async def main() -> None:
            stage = Stage()
            try:
                await test(stage)
            finally:
                await stage.session.close("the test is over")

        asyncio.run(asyncio.wait_for(main(), DEADLINE))

    wrapper.__name__ = test.__name__
    return wrapper
