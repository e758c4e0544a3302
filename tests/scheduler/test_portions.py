"""A client's session without a link: in which portions, and when, what it says is handled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from nbcluster.commands import GetView
from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Payload
from nbcluster.scheduler.events import Event, FromClient
from nbcluster.scheduler.sessions import MANY_KEYS, ClientSession, portions
from tests.support.fake_connection import FakeConnection
from tests.support.links import errors_of_loop


class FakeHost:
    """Remembers what it is told, and fails over a key of the name ``fault``."""

    plugins: Any = None
    closing = False
    welcome: Any = None

    def __init__(self) -> None:
        self.blocked: Any = {}
        self.told: list[Any] = []

    def handle(self, event: Event, then: Callable[[], None] | None = None) -> None:
        assert isinstance(event, FromClient)
        if any("fault" in message.keys for message in event.messages if isinstance(message, m.SubmitTasks)):
            raise LookupError("a fault of our own")
        self.told.append(event.messages)

    def serve(self, session: Any, errand: Any) -> None:
        self.told.append(errand)

    def join(self, session: Any, registration: m.RegisterClient) -> bool:
        welcome = registration.id != "taken"
        session.joined = welcome
        return welcome

    def client_lost(self, session: Any) -> None:
        self.told.append("lost")

    def register(self, session: Any, registration: Any) -> None:
        """There are no workers."""

    def worker_left(self, session: Any, event: Any) -> None:
        """There are no workers."""


def session() -> tuple[FakeHost, FakeConnection]:
    host, link = FakeHost(), FakeConnection()
    link.start(ClientSession(host, link, "client-1"))
    link.receiver.joined = True  # type: ignore[attr-defined]
    return host, link


def many(name: str) -> m.SubmitTasks:
    keys = [f"{name}-{number}" for number in range(MANY_KEYS)]
    return m.SubmitTasks(b"f", Payload(b"f"), keys, [b""] * MANY_KEYS)


def released(count: int) -> m.ReleaseKeys:
    return m.ReleaseKeys([f"old-{number}" for number in range(count)])


FEW = [m.WantKeys(["a"]), released(3), m.CancelKeys(["b"], "", ""), m.SubmitTasks(b"f", Payload(b"f"), ["c"], [b""])]


def test_what_concerns_few_keys_is_handled_together() -> None:
    assert list(portions(FEW)) == [FEW]


def test_what_concerns_many_keys_is_handled_alone_and_nothing_changes_places() -> None:
    first, second, third = many("a"), released(MANY_KEYS), many("b")
    assert list(portions([*FEW, first, second, *FEW, third])) == [FEW, [first], [second], FEW, [third]]


def test_one_portion_is_handled_in_each_turn_of_the_loop_and_what_comes_meanwhile_after_them() -> None:
    async def main() -> None:
        host, link = session()
        first, second, third = many("a"), released(MANY_KEYS), many("b")
        link.hear(first, second)
        assert host.told == [[first]]
        link.hear(third)
        link.hear(*FEW)
        assert host.told == [[first]]
        counts = []
        for _ in range(4):
            await asyncio.sleep(0)
            counts.append(len(host.told))
        assert counts == [2, 3, 4, 4]
        assert host.told == [[first], [second], [third], FEW]
        link.hear(m.WantKeys(["a"]))
        assert host.told[4:] == [[m.WantKeys(["a"])]], "nothing is before it"

    asyncio.run(main())


def test_what_is_no_business_of_the_core_waits_for_its_turn_too() -> None:
    async def main() -> None:
        host, link = session()
        first, call = many("a"), m.Call(1, GetView())
        link.hear(first, many("b"))
        link.hear(call)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [type(told) for told in host.told] == [list, list, m.Call]

    asyncio.run(main())


def test_the_end_of_a_link_comes_after_all_that_was_said() -> None:
    async def main() -> None:
        host, link = session()
        first, second = many("a"), many("b")
        link.hear(first, second)
        link.lose()
        assert host.told == [[first], [second], "lost"]
        await asyncio.sleep(0)
        assert len(host.told) == 3

    asyncio.run(main())


def test_a_portion_that_fails_ends_the_link_and_what_came_after_it_is_not_looked_at() -> None:
    async def main() -> None:
        host, link = session()
        first, second, third = many("a"), many("b"), many("c")
        second.keys[1] = "fault"
        errors = errors_of_loop()
        link.hear(first, second, third)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [type(error.get("exception")) for error in errors] == [LookupError]
        assert link.closed
        link.lose()
        assert host.told == [[first], "lost"]

    asyncio.run(main())


def test_of_a_client_that_is_refused_nothing_more_is_looked_at() -> None:
    async def main() -> None:
        host, link = session()
        link.receiver.joined = False  # type: ignore[attr-defined]
        link.hear(m.RegisterClient("taken"), many("a"), m.RegisterClient("free"), many("b"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert link.closed
        assert host.told == []

    asyncio.run(main())


def test_what_comes_after_a_fault_in_the_first_portion_is_not_looked_at_either() -> None:
    async def main() -> None:
        host, link = session()
        first = many("a")
        first.keys[1] = "fault"
        with pytest.raises(LookupError):
            link.hear(first, many("b"))
        link.lose()
        assert host.told == ["lost"]

    asyncio.run(main())
