"""What a listener's on_connection leaves running is owned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from nbcluster.comm.setups import SetUps
from tests.support.eventually import soon
from tests.support.fake_connection import FakeConnection


def on_loop(test: Callable[[list[Any]], Coroutine[Any, Any, None]]) -> None:
    """Run a test with a list of what the loop is told of."""

    async def main() -> None:
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        await test(reported)

    asyncio.run(main())


def test_a_call_that_raises_costs_its_link_and_is_reported() -> None:
    async def test(reported: list[Any]) -> None:
        def refuse(link: Any) -> None:
            raise KeyError("at once")

        async def refuse_later(link: Any) -> None:
            await asyncio.sleep(0)
            raise KeyError("later")

        links = FakeConnection(), FakeConnection()
        set_ups = SetUps()
        set_ups.run(refuse, links[0])
        set_ups.run(refuse_later, links[1])
        await soon(lambda: links[0].closed and links[1].closed)
        assert [error.args for error in reported] == [("at once",), ("later",)]

    on_loop(test)


def test_what_is_under_way_is_cancelled_with_its_link_and_what_is_done_is_left_alone() -> None:
    async def test(reported: list[Any]) -> None:
        async def forever(link: Any) -> None:
            await asyncio.Event().wait()

        async def at_once(link: Any) -> None: ...

        busy, done = FakeConnection(), FakeConnection()
        set_ups = SetUps()
        set_ups.run(at_once, done)
        await soon(lambda: done not in set_ups._running.values())
        set_ups.run(forever, busy)
        await set_ups.cancel()
        await set_ups.cancel()
        assert (busy.closed, done.closed) == (True, False)
        assert reported == []

    on_loop(test)
