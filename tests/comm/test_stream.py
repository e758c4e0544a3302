"""What a stream's link does with a transport of its own mind; ``test_base`` has what all links do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from nbcluster.comm.stream import StreamConnection
from nbcluster.errors import CommClosedError, ProtocolError
from nbcluster.protocol.framing import GOODBYE, Decoder, Encoder
from nbcluster.protocol.messages import ClientMessage, Stopping, ToClient, WantKeys
from nbcluster.types import Role
from tests.support.fake_transport import FakeTransport
from tests.support.links import Recorder, run


def encoded(*messages: Any) -> bytes:
    encoder = Encoder()
    encoder.add(messages)
    return b"".join(encoder.take())


def on_a_link(test: Callable[[StreamConnection, FakeTransport], Awaitable[None]]) -> Callable[[], None]:
    def wrapper() -> None:
        async def main() -> None:
            transport = FakeTransport()
            link = StreamConnection(
                transport,
                role=Role.CLIENT,
                local_address="tcp://127.0.0.1:1",
                peer_address="tcp://127.0.0.1:2",
                incoming=ToClient,
            )
            transport.protocol = link
            await test(link, transport)

        run("asyncio", main())

    wrapper.__name__ = test.__name__
    return wrapper


def arrive(link: StreamConnection, data: bytes) -> None:
    """What the transport does with bytes that it has read."""
    while data:
        buffer = link.get_buffer(-1)
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        link.buffer_updated(count)
        data = data[count:]


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@on_a_link
async def test_reading_waits_for_the_start(link: StreamConnection, transport: FakeTransport) -> None:
    assert not transport.reading
    link.start(Recorder())
    await turn()
    assert transport.reading


@on_a_link
async def test_what_a_transport_had_read_ahead_is_delivered_at_the_start(
    link: StreamConnection, transport: FakeTransport
) -> None:
    recorder = Recorder()
    arrive(link, encoded(Stopping("a")))
    link.start(recorder)
    arrive(link, encoded(Stopping("b")))
    assert not recorder.batches
    await turn()
    arrive(link, encoded(Stopping("c")))
    assert recorder.batches == [[Stopping("a"), Stopping("b")], [Stopping("c")]]


@on_a_link
async def test_a_link_that_broke_before_the_start_tells_it_then(
    link: StreamConnection, transport: FakeTransport
) -> None:
    recorder = Recorder()
    arrive(link, encoded(Stopping("a")))
    link.connection_lost(ConnectionResetError("gone"))
    with pytest.raises(CommClosedError):
        link.send(WantKeys([]))
    link.start(recorder)
    error = await recorder.end()
    assert recorder.messages == [Stopping("a")]
    assert isinstance(error, CommClosedError)
    assert isinstance(error.__cause__, ConnectionResetError)


@on_a_link
async def test_a_turn_is_one_write(link: StreamConnection, transport: FakeTransport) -> None:
    for _ in range(100):
        link.send(WantKeys(["a"]))
    assert not transport.written
    await turn()
    assert len(transport.written) == 1
    assert Decoder(ClientMessage).feed(transport.take()) == [WantKeys(["a"])] * 100


@on_a_link
async def test_close_says_goodbye_and_waits_for_the_other_side_s_end(
    link: StreamConnection, transport: FakeTransport
) -> None:
    recorder = Recorder()
    link.start(recorder)
    link.send(WantKeys(["a"]))
    closing = asyncio.ensure_future(link.close())
    await turn()
    assert transport.take() == encoded(WantKeys(["a"])) + GOODBYE
    assert transport.reading
    assert not transport.closing
    arrive(link, encoded(Stopping("not heard")))
    link.eof_received()
    link.connection_lost(None)
    await closing
    assert await recorder.end() is None
    assert not recorder.messages


@on_a_link
async def test_a_goodbye_is_answered_by_the_end(link: StreamConnection, transport: FakeTransport) -> None:
    recorder = Recorder()
    link.start(recorder)
    await turn()
    arrive(link, encoded(Stopping("a")) + GOODBYE)
    assert link.closed
    assert transport.aborted
    link.connection_lost(None)
    assert await recorder.end() is None
    assert recorder.messages == [Stopping("a")]


@pytest.mark.parametrize(
    ("data", "text"), [(b"", "without a goodbye"), (encoded(Stopping("a"))[:-1], "in the middle of a message")]
)
def test_an_end_without_a_goodbye_is_a_loss(data: bytes, text: str) -> None:
    @on_a_link
    async def test(link: StreamConnection, transport: FakeTransport) -> None:
        recorder = Recorder()
        link.start(recorder)
        await turn()
        arrive(link, data)
        link.eof_received()
        assert transport.aborted
        link.connection_lost(None)
        error = await recorder.end()
        assert isinstance(error, CommClosedError)
        assert text in str(error)

    test()


@on_a_link
async def test_wrong_bytes_end_the_link_whatever_follows(link: StreamConnection, transport: FakeTransport) -> None:
    recorder = Recorder()
    link.start(recorder)
    await turn()
    arrive(link, b"\xff" * 8)
    arrive(link, encoded(Stopping("a")))
    assert transport.aborted
    link.connection_lost(OSError("whatever the transport says"))
    assert isinstance(await recorder.end(), ProtocolError)
    assert not recorder.messages


@on_a_link
async def test_a_closing_link_is_patient_as_long_as_something_moves(
    link: StreamConnection, transport: FakeTransport
) -> None:
    link.send(WantKeys(["a" * 100_000]))
    closing = asyncio.ensure_future(link.close())
    await turn()
    pending = [link.pending_bytes]
    for _ in range(5):
        transport.pending -= 10_000
        link._check_progress(pending[-1])
        pending.append(link.pending_bytes)
    before = transport.aborted
    link._check_progress(pending[-1])
    assert (before, transport.aborted) == (False, True)
    link.connection_lost(None)
    await closing
