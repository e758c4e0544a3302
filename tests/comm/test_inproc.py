"""What is particular to links inside one process; ``test_base`` has the rest."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from nbcluster.comm.base import Connection
from nbcluster.comm.transports import connect, listen
from nbcluster.errors import CommClosedError, CommError
from nbcluster.protocol.messages import ClientMessage, PutData, ReleaseKeys, Stopping, ToClient, WantKeys
from nbcluster.types import Role
from tests.support.eventually import eventually
from tests.support.links import DEADLINE, LOOPS, TOKEN, Recorder, run

NAMES = [f"key-{index}" for index in range(2000)]


class Echo:
    """A listener on an event loop of its own, in a thread of its own, that answers whatever it gets."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.links: list[Connection] = []
        self.ends: list[Exception | None] = []
        self.threads: set[int] = set()
        self.wake_ups = 0
        self.address = ""

    async def open(self) -> None:
        self.listener = await listen(
            "inproc://",
            token=TOKEN,
            incoming={Role.CLIENT: ClientMessage | PutData},
            on_connection=self.accept,
        )
        self.address = self.listener.address

    def accept(self, link: Connection) -> None:
        self.links.append(link)
        echo = self

        class Answers:
            def received(self, messages: list[Any]) -> None:
                echo.threads.add(threading.get_ident())
                echo.wake_ups += 1
                link.send(*(Stopping(message.keys[0]) for message in messages))

            def lost(self, error: Exception | None) -> None:
                echo.threads.add(threading.get_ident())
                echo.ends.append(error)

        link.start(Answers())


@contextmanager
def echo_in_a_thread(loop_kind: str) -> Iterator[Echo]:
    loop = LOOPS[loop_kind]()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    echo = Echo(loop)
    try:
        asyncio.run_coroutine_threadsafe(echo.open(), loop).result(DEADLINE)
        yield echo
        asyncio.run_coroutine_threadsafe(echo.listener.close(), loop).result(DEADLINE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def to(echo: Echo, timeout: float = DEADLINE) -> Connection:
    return await connect(echo.address, role=Role.CLIENT, token=TOKEN, incoming=ToClient, timeout=timeout)


def on_two_loops(test: Callable[[Echo], Any]) -> Callable[[str], None]:
    def wrapper(loop_kind: str) -> None:
        with echo_in_a_thread(loop_kind) as echo:
            run(loop_kind, test(echo))

    wrapper.__name__ = test.__name__
    return wrapper


@on_two_loops
async def test_a_link_may_join_two_event_loops(echo: Echo) -> None:
    link = await to(echo)
    recorder = Recorder()
    link.start(recorder)
    for name in NAMES:
        link.send(ReleaseKeys([name]))
        if name.endswith("00"):
            await asyncio.sleep(0)
    assert await recorder.count(len(NAMES)) == [Stopping(name) for name in NAMES]
    await link.close()
    assert await recorder.end() is None
    eventually(lambda: echo.ends == [None])
    assert len(echo.threads) == 1
    assert threading.get_ident() not in echo.threads


@on_two_loops
async def test_a_batch_is_one_wake_up_of_the_other_loop(echo: Echo) -> None:
    link = await to(echo)
    recorder = Recorder()
    link.start(recorder)
    for name in NAMES:
        link.send(WantKeys([name]))
    await recorder.count(len(NAMES))
    assert echo.wake_ups == 1
    assert len(recorder.batches) == 1
    link.abort()


@on_two_loops
async def test_drain_waits_for_a_loop_that_is_busy(echo: Echo) -> None:
    link = await to(echo)
    link.start(Recorder())
    busy, free = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        free.wait(DEADLINE)

    echo.loop.call_soon_threadsafe(hold)
    busy.wait(DEADLINE)
    link.send(*[WantKeys(["a"])] * 10_000)
    draining = asyncio.ensure_future(link.drain())
    await asyncio.sleep(0.02)
    assert not draining.done()
    assert link.pending_bytes > 0
    free.set()
    await draining
    link.abort()


@on_two_loops
async def test_both_sides_may_close_at_once(echo: Echo) -> None:
    for _ in range(20):
        link = await to(echo)
        recorder = Recorder()
        link.start(recorder)
        link.send(WantKeys(["a"]))
        await recorder.count(1)
        there = asyncio.run_coroutine_threadsafe(echo.links[-1].close(), echo.loop)
        await link.close()
        assert await recorder.end() is None
        await asyncio.wrap_future(there)
    eventually(lambda: echo.ends == [None] * 20)


def test_a_link_ends_when_the_other_loop_is_gone(loop_kind: str) -> None:
    async def main() -> None:
        with echo_in_a_thread(loop_kind) as echo:
            link = await to(echo)
            recorder = Recorder()
            link.start(recorder)
            link.send(WantKeys(["a"]))
            await recorder.count(1)
        link.send(WantKeys(["b"]))
        assert isinstance(await recorder.end(), CommClosedError)
        with pytest.raises(CommClosedError):
            link.send(WantKeys(["c"]))
        await link.close()

    run(loop_kind, main())


def test_a_listener_whose_loop_is_gone_does_not_answer(loop_kind: str) -> None:
    loop = LOOPS[loop_kind]()
    echo = Echo(loop)
    loop.run_until_complete(echo.open())
    loop.close()

    async def main() -> None:
        with pytest.raises(CommError, match="nobody answered"):
            await to(echo, timeout=0.02)
        await echo.listener.close()

    run(loop_kind, main())


def test_a_name_can_be_chosen(loop_kind: str) -> None:
    async def main() -> None:
        listener = await listen(
            "inproc://chosen", token=TOKEN, incoming={Role.CLIENT: ClientMessage}, on_connection=lambda link: None
        )
        assert listener.address == "inproc://chosen"
        await listener.close()

    run(loop_kind, main())
