"""A link whose reading side is lent to threads: over Unix sockets, on each event loop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from nbcluster.comm import awake as awake_module
from nbcluster.comm import stream
from nbcluster.comm.base import Connection
from nbcluster.comm.lending import Lending
from nbcluster.protocol.framing import GOODBYE, Encoder
from nbcluster.protocol.messages import KeyDone, KeysDone, PutData, ToClient
from nbcluster.protocol.payload import Frame, Payload
from tests.comm.test_base import data_message
from tests.support.eventually import soon
from tests.support.links import DEADLINE, LOOPS, TRANSPORTS, Recorder, run, wire

Links = tuple[Connection, Recorder, Connection, Recorder]


@pytest.fixture(autouse=True)
def no_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LINGER", 1000.0)


def lent(test: Callable[[Lending, Links], Awaitable[None]]) -> Callable[[str], None]:
    """Make of a coroutine function a test with a link whose near end is lent, on each loop."""

    @pytest.mark.parametrize("loop_kind", list(LOOPS))
    def wrapper(loop_kind: str) -> None:
        async def main() -> None:
            async with wire("unix") as made:
                links = await made.started()
                await asyncio.sleep(0)
                lending = links[0].lend_reading()
                assert lending is not None
                await test(lending, links)

        run(loop_kind, main())

    wrapper.__name__ = test.__name__
    return wrapper


def done(*keys: str) -> KeysDone:
    return KeysDone([KeyDone(key, "int", 8, Payload(b"x")) for key in keys])


class Reader:
    """A thread that reads until it has heard of a key."""

    def __init__(self, lending: Lending, key: str, deals_with: Callable[[Any], bool] = lambda message: True) -> None:
        self.heard: list[Any] = []
        self.answer: bool | type[BaseException] | None = None
        self._lending = lending
        self._key = key
        self._deals_with = deals_with
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            self.answer = self._lending.read(self._take, lambda: self._key in self.keys, DEADLINE)
        except BaseException as error:
            self.answer = type(error)

    @property
    def keys(self) -> list[str]:
        return [item.key for message in self.heard for item in message.items]

    def _take(self, messages: list[Any]) -> bool:
        self.heard += messages
        return all(self._deals_with(message) for message in messages)

    async def end(self) -> bool | type[BaseException] | None:
        await asyncio.to_thread(self._thread.join, DEADLINE)
        return self.answer


@lent
async def test_what_a_thread_reads_does_not_come_by_the_loop(lending: Lending, links: Links) -> None:
    near, recorder, far, _ = links
    reader = Reader(lending, "b")
    far.send(done("a"))
    await soon(lambda: reader.keys == ["a"])
    far.send(done("b"))
    assert await reader.end() is True
    assert near.take_back_reading()
    far.send(done("c"))
    assert await recorder.count(1) == [done("c")]


@lent
async def test_what_a_thread_leaves_comes_by_the_loop_and_first(lending: Lending, links: Links) -> None:
    near, recorder, far, _ = links
    reader = Reader(lending, "b", lambda message: message != done("a"))
    far.send(done("a"), done("b"))
    assert await reader.end() is False
    far.send(done("c"))
    assert Reader(lending, "c").answer is not True, "nobody reads on before that is dealt with"
    assert recorder.messages == []
    assert near.take_back_reading()
    assert await recorder.count(3) == [done("a"), done("b"), done("c")]


@lent
async def test_large_buffers_are_left_to_the_loop(lending: Lending, links: Links) -> None:
    near, recorder, far, _ = links
    sent = data_message(100_000)
    reader = Reader(lending, "never")
    far.send(sent)
    assert await reader.end() is False
    assert near.take_back_reading()
    [got] = await recorder.count(1)
    assert isinstance(got, PutData)
    assert bytes(got.items[0].payload.frames[0].buffer or b"") == bytes(sent.items[0].payload.frames[0].buffer or b"")


@lent
async def test_an_interrupt_while_a_thread_deals_with_it_loses_nothing(lending: Lending, links: Links) -> None:
    near, recorder, far, _ = links

    def interrupted(message: Any) -> bool:
        raise KeyboardInterrupt

    reader = Reader(lending, "a", interrupted)
    far.send(done("a"))
    assert await reader.end() is KeyboardInterrupt
    assert near.take_back_reading()
    assert await recorder.count(1) == [done("a")]


@lent
async def test_the_loop_does_not_take_it_back_from_a_thread_that_reads(lending: Lending, links: Links) -> None:
    near, recorder, far, _ = links
    reader = Reader(lending, "b")
    far.send(done("a"))
    await soon(lambda: reader.keys == ["a"])
    assert not near.take_back_reading()
    far.send(done("b"))
    assert await reader.end() is True
    assert near.take_back_reading()
    assert recorder.messages == []


@lent
async def test_a_thread_reads_only_what_is_lent(lending: Lending, links: Links) -> None:
    near, recorder, far, _ = links
    assert near.take_back_reading()
    assert await Reader(lending, "a").end() is False
    assert near.lend_reading() is lending
    reader = Reader(lending, "a")
    far.send(done("a"))
    assert await reader.end() is True
    assert recorder.messages == []


@lent
async def test_a_thread_that_waits_long_enough_gives_up(lending: Lending, links: Links) -> None:
    assert await asyncio.to_thread(lending.read, lambda messages: True, lambda: False, 0.001) is False


@lent
async def test_the_end_of_a_link_is_seen_by_the_loop(lending: Lending, links: Links) -> None:
    near, recorder, far, _ = links
    reader = Reader(lending, "a")
    closing = asyncio.ensure_future(far.close())
    assert await reader.end() is False
    assert near.take_back_reading()
    assert await recorder.end() is None
    await closing


@lent
async def test_a_link_that_is_lent_closes_in_good_order(lending: Lending, links: Links) -> None:
    near, _, _, far_recorder = links
    reader = Reader(lending, "a")
    closing = asyncio.ensure_future(near.close())
    await asyncio.sleep(0)
    links[2].send(done("a"))
    assert await reader.end() is True
    await closing
    assert await far_recorder.end() is None


@pytest.mark.parametrize("transport", [kind for kind in TRANSPORTS if kind != "unix"])
def test_other_links_are_not_lent(transport: str) -> None:
    async def main() -> None:
        async with wire(transport) as made:
            near, _, _, _ = await made.started()
            await asyncio.sleep(0)
            assert not near.lends
            assert near.lend_reading() is None
            assert near.take_back_reading()

    run("asyncio", main())


@pytest.fixture
def ends() -> Any:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def encoded(*messages: Any) -> bytes:
    encoder = Encoder()
    encoder.add(messages)
    return b"".join(encoder.take())


def test_a_thread_waits_for_the_rest_of_a_frame(ends: tuple[socket.socket, socket.socket]) -> None:
    lending = Lending(ends[0], ToClient)
    lending.lent = True
    data, reader = encoded(done("a")) + encoded(done("b")), Reader(lending, "b")
    for at in range(len(data)):
        ends[1].send(data[at : at + 1])
    assert asyncio.run(reader.end()) is True
    assert reader.heard == [done("a"), done("b")]
    assert lending.take_back() == []


@pytest.mark.parametrize("data", [GOODBYE, b"\3\0\0\0\0\0\0\0abc", b"\1\0\0\0\0\0\0\0\xc0", b"\0\0\0\xff\0\0\0\0"])
def test_what_is_no_plain_message_is_left(ends: tuple[socket.socket, socket.socket], data: bytes) -> None:
    lending = Lending(ends[0], ToClient)
    lending.lent = True
    ends[1].send(data)
    assert lending.read(lambda got: True, lambda: False, DEADLINE) is False
    assert lending.take_back() == [data]


def test_small_frames_in_messages_are_plain(ends: tuple[socket.socket, socket.socket]) -> None:
    lending = Lending(ends[0], ToClient)
    lending.lent = True
    reader = Reader(lending, "a")
    ends[1].send(encoded(KeysDone([KeyDone("a", "int", 8, Payload(b"x", (Frame(b"small"),)))])))
    assert asyncio.run(reader.end()) is True
    assert bytes(reader.heard[0].items[0].payload.frames[0].buffer) == b"small"


class NotedPoll:
    """Notes for how long it was to sleep."""

    def __init__(self, poll: Any) -> None:
        self.timeouts: list[float] = []
        self._poll = poll

    def poll(self, timeout: float) -> Any:
        self.timeouts.append(timeout)
        return self._poll.poll(timeout)


@lent
async def test_a_thread_stays_awake_for_an_answer_if_the_last_one_came_soon(lending: Lending, links: Links) -> None:
    _, _, far, _ = links
    noted = NotedPoll(lending._poll)
    heard: list[str] = []

    def take(messages: list[Any]) -> bool:
        heard.extend(item.key for message in messages for item in message.items)
        return True

    async def read(key: str, awake: bool) -> list[float]:
        noted.timeouts.clear()
        reading = asyncio.create_task(
            asyncio.to_thread(lending.read, take, lambda: key in heard, DEADLINE, awake=awake)
        )
        await soon(lambda: bool(noted.timeouts))
        far.send(done(key))
        assert await reading is True
        return list(noted.timeouts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lending, "_poll", noted)
        patch.setattr(awake_module, "MOMENT", DEADLINE)
        patch.setattr(awake_module, "_alone", False)
        assert max(await read("a", awake=True)) > 0, "it sleeps for the first"
        assert max(await read("b", awake=True)) == 0
        assert min(await read("c", awake=False)) > 0
