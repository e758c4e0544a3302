"""The contract of ``Connection`` and ``Listener``: every transport keeps it, on every event loop."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from nbcluster.comm import inproc, outlet, stream
from nbcluster.commands import GetView
from nbcluster.errors import CommClosedError, SerializationError
from nbcluster.protocol.framing import INLINE
from nbcluster.protocol.messages import (
    Answered,
    Call,
    DataItem,
    KeyDone,
    KeysDone,
    Located,
    Location,
    PutData,
    ReleaseKeys,
    Stopping,
    SubmitTasks,
    TaskOptions,
    WantKeys,
)
from nbcluster.protocol.payload import Frame, Payload
from tests.support.eventually import soon
from tests.support.links import (
    STREAMS,
    TRANSPORTS,
    Recorder,
    Wire,
    errors_of_loop,
    keys_of,
    on_each_wire,
    run,
    wire,
)

pytestmark = pytest.mark.usefixtures("no_linger")


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def data_message(*sizes: int) -> PutData:
    frames = tuple(Frame(os.urandom(size)) for size in sizes)
    return PutData([DataItem("data-1", Payload(b"pickled", frames), sum(sizes), "ndarray")])


def numbered(count: int, start: int = 0) -> list[ReleaseKeys]:
    return [ReleaseKeys([f"key-{index}"]) for index in range(start, start + count)]


# --- what travels ----------------------------------------------------------------------------------------------------


@on_each_wire
async def test_messages_arrive_in_the_order_in_which_they_were_sent(wire: Wire) -> None:
    near, _, _far, recorder = await wire.started()
    messages = numbered(3000)
    for index, message in enumerate(messages):
        near.send(message)
        if index % 100 == 0:
            await asyncio.sleep(0)
    await recorder.count(3000)
    assert recorder.messages == messages


@on_each_wire
async def test_messages_of_one_turn_travel_together(wire: Wire) -> None:
    near, _, _far, recorder = await wire.started()
    for message in numbered(100):
        near.send(message)
    near.send(*numbered(100, 100))
    await recorder.count(200)
    assert len(recorder.batches) == 1


@on_each_wire
async def test_messages_arrive_with_all_their_fields(wire: Wire) -> None:
    near, near_recorder, far, far_recorder = await wire.started()
    there = [
        SubmitTasks(
            function=b"f" * 16,
            definition=Payload(b"pickled function"),
            keys=["a", "é-1"],
            arguments=[b"x", b""],
            options=TaskOptions(workers=["w"], resources={"GPU": 1.5}, retries=2, priority=-3),
            dependencies={1: ["k"]},
            frames={0: []},
        ),
        Call(7, GetView()),
        WantKeys([]),
    ]
    back = [
        KeysDone([KeyDone("a", "int", 28, Payload(b"\x80\x05K\x01.")), KeyDone("b", "str", 1 << 40)]),
        Located(1, [Location("k", None, ["tcp://127.0.0.1:1"], 5)]),
        Answered(7, None),
        Stopping("done"),
    ]
    near.send(*there)
    far.send(*back)
    assert await far_recorder.count(3) == there
    assert await near_recorder.count(4) == back


@on_each_wire
async def test_frames_of_every_size_arrive_bit_for_bit(wire: Wire) -> None:
    near, _, _far, recorder = await wire.started()
    sizes = (0, 1, INLINE - 1, INLINE, INLINE + 1, 65_535, 65_536, 65_537, 300_000, 5_000_003)
    sent = [data_message(size) for size in sizes] + [data_message(*sizes), data_message(*[INLINE] * 300)]
    near.send(*sent)
    for message in sent:
        near.send(message, WantKeys(["between"]))
    got = await recorder.count(3 * len(sent))
    got = [message for message in got if type(message) is PutData]
    for before, after in zip(sent * 2, got, strict=True):
        frames = zip(before.items[0].payload.frames, after.items[0].payload.frames, strict=True)
        assert all(bytes(one.buffer) == bytes(other.buffer) for one, other in frames if one.buffer is not None)
        assert after.items[0].payload.data == b"pickled"


@on_each_wire
async def test_both_sides_send_much_at_once(wire: Wire) -> None:
    near, near_recorder, far, far_recorder = await wire.started()
    message = data_message(3_000_000)
    for _ in range(10):
        near.send(message)
        far.send(message)
    await asyncio.gather(near_recorder.count(10), far_recorder.count(10))


@on_each_wire
async def test_what_arrives_before_the_start_waits_for_it(wire: Wire) -> None:
    near, far = await wire.pair()
    recorder = Recorder()
    near.send(*numbered(5))
    await near.drain()
    await asyncio.sleep(0.01)
    far.start(recorder)
    near.send(*numbered(5, 5))
    assert keys_of(await recorder.count(10)) == [f"key-{index}" for index in range(10)]


@on_each_wire
async def test_what_arrives_before_the_start_is_delivered_even_if_the_peer_is_gone(wire: Wire) -> None:
    near, far = await wire.pair()
    near.start(Recorder())
    near.send(*numbered(5))
    closing = asyncio.ensure_future(near.close())
    await asyncio.sleep(0.01)
    recorder = Recorder()
    far.start(recorder)
    assert await recorder.end() is None
    assert len(recorder.messages) == 5
    await closing


@on_each_wire
async def test_a_link_is_started_once(wire: Wire) -> None:
    near, _, _, _ = await wire.started()
    with pytest.raises(RuntimeError):
        near.start(Recorder())


@on_each_wire
async def test_live_objects_pass_only_where_both_ends_are_in_one_process(wire: Wire) -> None:
    near, _, far, recorder = await wire.started()
    value = object()
    live = PutData([DataItem("live", Payload.of_live(value))])
    assert near.in_process is far.in_process is (not wire.is_stream)
    if wire.is_stream:
        with pytest.raises(SerializationError, match="object"):
            near.send(WantKeys(["a"]), live)
    else:
        near.send(live)
        (message,) = await recorder.count(1)
        assert message.items[0].payload.frames[0].live is value
    # Nothing of a batch that could not be sent is sent, and the link is as good as before.
    near.send(WantKeys(["b"]))
    await recorder.count(1 if wire.is_stream else 2)
    assert recorder.messages[-1] == WantKeys(["b"])
    assert WantKeys(["a"]) not in recorder.messages


# --- back-pressure ---------------------------------------------------------------------------------------------------


@on_each_wire
async def test_drain_waits_for_a_peer_that_takes_nothing(wire: Wire) -> None:
    near, far = await wire.pair()
    assert near.pending_bytes == 0
    recorder = Recorder()
    message = data_message(1_000_000)
    count = 50 if wire.is_stream else 2 * inproc.HIGH_WATER // inproc.NOMINAL
    near.send(*[message] * count)
    assert near.pending_bytes > 1_000_000
    draining = asyncio.ensure_future(near.drain())
    await asyncio.sleep(0.05)
    assert not draining.done()
    assert near.pending_bytes > 0
    far.start(recorder)
    await draining
    assert near.pending_bytes <= outlet.HIGH_WATER
    await recorder.count(count)
    await soon(lambda: near.pending_bytes == 0)


@on_each_wire
async def test_drain_returns_at_once_when_little_is_pending(wire: Wire) -> None:
    near, _far = await wire.pair()
    near.send(WantKeys(["a"]))
    await near.drain()


@on_each_wire
async def test_a_link_that_breaks_ends_the_wait_of_drain(wire: Wire) -> None:
    near, far = await wire.pair()
    near.start(Recorder())
    message = data_message(1_000_000)
    near.send(*[message] * (50 if wire.is_stream else 5000))
    draining = [asyncio.ensure_future(near.drain()) for _ in range(2)]
    await asyncio.sleep(0.02)
    far.abort()
    for waiter in draining:
        with pytest.raises(CommClosedError):
            await waiter


# --- the end ---------------------------------------------------------------------------------------------------------


@on_each_wire
async def test_close_delivers_what_was_sent_and_ends_both_sides_in_good_order(wire: Wire) -> None:
    near, near_recorder, far, far_recorder = await wire.started()
    sent = [data_message(2_000_000), *numbered(100)]
    near.send(*sent)
    await near.close()
    assert near.closed
    assert await far_recorder.end() is None
    assert len(far_recorder.messages) == len(sent)
    assert far.closed
    assert await near_recorder.end() is None


@on_each_wire
async def test_what_a_peer_sends_while_it_learns_of_the_close_does_no_harm(wire: Wire) -> None:
    near, _, far, far_recorder = await wire.started()
    far.send(*[data_message(1_000_000)] * 20)
    near.send(*numbered(1000))
    await near.close()
    assert await far_recorder.end() is None
    assert len(far_recorder.messages) == 1000


@on_each_wire
async def test_who_closes_hears_no_more(wire: Wire) -> None:
    near, near_recorder, far, _ = await wire.started()
    far.send(*[Stopping("too late")] * 10)
    closing = asyncio.ensure_future(near.close())
    await asyncio.sleep(0)
    heard = len(near_recorder.messages)
    await closing
    await near_recorder.end()
    assert len(near_recorder.messages) == heard


@on_each_wire
async def test_both_sides_may_close_at_once_and_more_than_once(wire: Wire) -> None:
    near, near_recorder, far, far_recorder = await wire.started()
    await asyncio.gather(near.close(), far.close(), near.close(), far.close())
    await near.close()
    near.abort()
    assert await near_recorder.end() is None
    assert await far_recorder.end() is None


@on_each_wire
async def test_a_link_can_be_closed_that_was_never_started(wire: Wire) -> None:
    near, far = await wire.pair()
    await asyncio.gather(near.close(), far.close())
    recorder = Recorder()
    near.start(recorder)
    assert await recorder.end() is None


@on_each_wire
async def test_abort_is_a_loss_to_the_other_side(wire: Wire) -> None:
    near, near_recorder, _far, far_recorder = await wire.started()
    near.send(WantKeys(["never seen, as it was not flushed"]))
    near.abort()
    near.abort()
    assert near.closed
    assert isinstance(await far_recorder.end(), CommClosedError)
    assert await near_recorder.end() is None
    assert not far_recorder.messages
    await near.close()


@on_each_wire
async def test_sending_on_a_closed_link_raises(wire: Wire) -> None:
    near, _near_recorder, far, far_recorder = await wire.started()
    await near.close()
    await far_recorder.end()
    for link in (near, far):
        with pytest.raises(CommClosedError):
            link.send(WantKeys(["a"]))
        with pytest.raises(CommClosedError):
            await link.drain()
        assert link.pending_bytes == 0


@on_each_wire
async def test_a_receiver_may_answer_close_or_abort_from_within_a_delivery(wire: Wire) -> None:
    class Answering(Recorder):
        def received(self, messages: list[Any]) -> None:
            super().received(messages)
            far.send(Stopping("one is enough"))
            closings.append(asyncio.ensure_future(far.close()))

    near, far = await wire.pair()
    closings: list[asyncio.Future[None]] = []
    recorder, answering = Recorder(), Answering()
    near.start(recorder)
    far.start(answering)
    near.send(WantKeys(["a"]))
    assert await recorder.count(1) == [Stopping("one is enough")]
    assert await recorder.end() is None
    assert await answering.end() is None
    await asyncio.gather(*closings)


def test_a_receiver_that_raises_loses_its_link_and_the_loop_reports_it(transport: str, loop_kind: str) -> None:
    class Failing(Recorder):
        def received(self, messages: list[Any]) -> None:
            raise ZeroDivisionError

    async def main() -> None:
        errors = errors_of_loop()
        async with wire(transport) as made:
            near, far = await made.pair()
            recorder, failing = Recorder(), Failing()
            near.start(recorder)
            far.start(failing)
            near.send(WantKeys(["a"]))
            assert isinstance(await failing.end(), ZeroDivisionError)
            assert isinstance(await recorder.end(), CommClosedError)
        assert [type(error["exception"]) for error in errors] == [ZeroDivisionError]

    run(loop_kind, main())


@pytest.mark.parametrize("transport", STREAMS)
def test_who_closes_does_not_wait_for_a_peer_that_reads_nothing(
    transport: str, loop_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LINGER", 0.05)

    async def main() -> None:
        async with wire(transport) as made:
            near, far = await made.pair()
            near_recorder, far_recorder = Recorder(), Recorder()
            near.start(near_recorder)
            near.send(*[data_message(1_000_000)] * 30)
            await near.close()
            assert await near_recorder.end() is None
            far.start(far_recorder)
            assert isinstance(await far_recorder.end(), CommClosedError)

    run(loop_kind, main())
