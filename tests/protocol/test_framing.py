from __future__ import annotations

import gc
import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcluster.errors import CommError, ProtocolError, SerializationError, SharedDataGoneError
from nbcluster.protocol import framing
from nbcluster.protocol.framing import CHUNK, CHUNKS, GOODBYE, INLINE, Decoder, Encoder, Limits
from nbcluster.protocol.messages import (
    ClientMessage,
    DataItem,
    PutData,
    ReleaseKeys,
    TaskDone,
    TasksDone,
    ToClient,
    WantKeys,
)
from nbcluster.protocol.payload import Buffer, Frame, Payload

MIB = 1 << 20
Incoming = ClientMessage | PutData


def put(*frames: Frame, key: str = "data-1") -> PutData:
    return PutData([DataItem(key, Payload(b"pickled", frames), 1, "ndarray")])


def put_sizes(*sizes: int) -> PutData:
    return put(*(Frame(os.urandom(size)) for size in sizes))


def encode(*messages: Any, limits: Limits | None = None) -> bytes:
    encoder = Encoder(limits or Limits())
    encoder.add(messages)
    return b"".join(encoder.take())


def plain(message: Any) -> Any:
    """A message as something that compares by value, frames included."""
    return msgspec.to_builtins(message, enc_hook=lambda frame: bytes(frame.buffer))


def frame_of(messages: bytes, *sizes: int) -> bytes:
    """A frame with a list that somebody else has encoded, or without a body."""
    body = b"\x91" + messages if messages else b""
    return struct.pack(f"<II{len(sizes)}Q", len(body), len(sizes), *sizes) + body


# --- there and back --------------------------------------------------------------------------------------------------

sizes = st.sampled_from(
    [
        0,
        1,
        CHUNKS[0] // 2,
        INLINE - 1,
        INLINE,
        INLINE + 1,
        CHUNK // 2,
        CHUNK // 2 + 1,
        CHUNK,
        CHUNK + 1,
        3 * CHUNK,
        MIB,
        5 * MIB,
    ]
)
some_messages = st.lists(
    st.builds(WantKeys, st.lists(st.text(max_size=20), max_size=5))
    | st.builds(ReleaseKeys, st.lists(st.text(min_size=100, max_size=200), max_size=40))
    | st.lists(sizes, max_size=4).map(lambda chosen: put_sizes(*chosen)),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(batches=st.lists(some_messages, max_size=4), data=st.data())
def test_messages_come_back_whatever_the_pieces_in_which_they_arrive(
    batches: list[list[Any]], data: st.DataObject
) -> None:
    encoder, decoder = Encoder(), Decoder(Incoming)
    stream = b""
    for batch in batches:
        encoder.add(tuple(batch))
        stream += b"".join(encoder.take())
    got: list[Any] = []
    at = 0
    while at < len(stream):
        step = data.draw(st.sampled_from([1, 7, 100, INLINE, CHUNK - 1, CHUNK, MIB, 100 * MIB]))
        got += decoder.feed(stream[at : at + step])
        at += step
        if step < 100:  # then the rest at once, or this takes hours
            got += decoder.feed(stream[at:])
            at = len(stream)
    assert [plain(message) for message in got] == [plain(message) for batch in batches for message in batch]
    assert not decoder.midway


def test_messages_come_back_from_single_bytes() -> None:
    message = put_sizes(10, INLINE, INLINE + 3)
    decoder = Decoder(Incoming)
    got = [out for byte in encode(message, WantKeys(["a"])) for out in decoder.feed(bytes([byte]))]
    assert [plain(out) for out in got] == [plain(message), plain(WantKeys(["a"]))]


def test_an_empty_batch_is_no_bytes() -> None:
    encoder = Encoder()
    assert encoder.take() == []
    encoder.add(())
    assert encoder.take() == []
    assert encoder.pending_bytes == 0


@pytest.mark.parametrize(
    "buffer",
    [
        b"x" * INLINE,
        bytearray(b"x" * INLINE),
        memoryview(b"x" * INLINE),
        np.arange(INLINE, dtype="f8").data,
        np.arange(INLINE * 2, dtype="f8").reshape(2, -1).data,
        pickle.PickleBuffer(np.asfortranarray(np.arange(INLINE * 2.0).reshape(2, -1)).data).raw(),
        np.arange(3, dtype="f8").data,
    ],
    ids=["bytes", "bytearray", "memoryview", "float64", "two dimensions", "Fortran order", "small"],
)
def test_every_kind_of_buffer_travels_as_its_bytes(buffer: Buffer) -> None:
    (message,) = Decoder(Incoming).feed(encode(put(Frame(buffer))))
    assert bytes(message.items[0].payload.frames[0].buffer) == bytes(buffer)


@pytest.mark.parametrize("size", [10, INLINE, CHUNK, 5 * MIB])
def test_frames_arrive_writable_and_each_in_memory_of_its_own(size: int) -> None:
    decoder = Decoder(Incoming)
    messages = decoder.feed(encode(put_sizes(size, size), put_sizes(size)))
    frames = [frame for message in messages for frame in message.items[0].payload.frames]
    before = [bytes(frame.buffer) for frame in frames]
    memoryview(frames[1].buffer)[:] = bytes(size)
    decoder.feed(encode(put_sizes(size)))
    assert [bytes(frame.buffer) for frame in frames] == [before[0], bytes(size), before[2]]


# --- nothing large is copied -----------------------------------------------------------------------------------------


def test_a_large_buffer_is_handed_to_the_transport_as_it_is() -> None:
    array = np.arange(MIB, dtype="u1")
    encoder = Encoder()
    encoder.add((put(Frame(array.data)),))
    assert any(
        np.shares_memory(np.frombuffer(buffer, dtype="u1"), array) for buffer in encoder.take() if len(buffer) == MIB
    )


def test_a_large_buffer_is_read_straight_to_its_final_place() -> None:
    stream = encode(put_sizes(5 * MIB))
    head = len(stream) - 5 * MIB
    decoder = Decoder(Incoming)
    assert decoder.feed(stream[:head]) == []
    place = decoder.get_buffer()
    assert len(place) == 5 * MIB
    place[:] = stream[head:]
    (message,) = decoder.buffer_updated(5 * MIB)
    (frame,) = message.items[0].payload.frames
    assert np.shares_memory(np.frombuffer(frame.buffer, dtype="u1"), np.frombuffer(place, dtype="u1"))


def test_encoding_a_large_frame_takes_no_memory() -> None:
    message = put(Frame(bytes(64 * MIB)))
    encoder = Encoder()
    tracemalloc.start()
    encoder.add((message,))
    taken = encoder.take()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(map(len, taken)) > 64 * MIB
    assert peak < MIB


def test_pending_bytes_are_what_is_to_be_written() -> None:
    encoder = Encoder()
    encoder.add((put_sizes(10), put_sizes(MIB), WantKeys(["a"] * 1000)))
    pending = encoder.pending_bytes
    assert abs(sum(map(len, encoder.take())) - pending) < 100
    assert encoder.pending_bytes == 0


def test_large_batches_are_split_into_several_frames() -> None:
    encoder = Encoder()
    for _ in range(40):
        encoder.add((WantKeys(["k" * 1000] * 100),))
    taken = encoder.take()
    assert len(taken) > 2
    assert max(map(len, taken)) < 2 * MIB
    assert len(Decoder(Incoming).feed(b"".join(taken))) == 40


# --- what cannot be sent ---------------------------------------------------------------------------------------------


def test_a_live_frame_cannot_be_encoded_and_leaves_nothing_behind() -> None:
    encoder = Encoder()
    encoder.add((WantKeys(["before"]),))
    with pytest.raises(SerializationError, match="live dict"):
        encoder.add((put_sizes(MIB), PutData([DataItem("k", Payload.of_live({}))])))
    encoder.add((WantKeys(["after"]),))
    assert Decoder(Incoming).feed(b"".join(encoder.take())) == [WantKeys(["before"]), WantKeys(["after"])]


def test_what_is_no_message_cannot_be_encoded() -> None:
    with pytest.raises(SerializationError, match="object"):
        Encoder().add((object(),))


@pytest.mark.parametrize(
    ("message", "limits"),
    [
        (WantKeys(["k" * 1000]), Limits(body=1000)),
        (put_sizes(INLINE + 1), Limits(buffer=INLINE)),
        (put_sizes(INLINE, INLINE), Limits(buffers=1)),
    ],
)
def test_what_the_peer_would_refuse_is_refused_here(message: Any, limits: Limits) -> None:
    encoder = Encoder(limits)
    with pytest.raises(CommError, match=r"carries"):
        encoder.add((message,))
    assert encoder.take() == []
    with pytest.raises(ProtocolError, match=r"limit"):
        Decoder(Incoming, limits).feed(encode(message))


def test_the_limits_themselves_are_allowed() -> None:
    message = put_sizes(INLINE, INLINE)
    size = len(encode(message)) - 8 - 2 * 8 - 2 * INLINE
    limits = Limits(body=size, buffers=2, buffer=INLINE)
    assert len(Decoder(Incoming, limits).feed(encode(message, limits=limits))) == 1


# --- the end of the stream -------------------------------------------------------------------------------------------


def test_a_goodbye_ends_the_stream_after_all_that_came_before() -> None:
    decoder = Decoder(Incoming)
    assert decoder.feed(encode(WantKeys(["a"])) + GOODBYE + b"whatever follows") == [WantKeys(["a"])]
    assert decoder.said_goodbye


def test_a_stream_can_be_cut_at_every_byte() -> None:
    first, second = encode(WantKeys(["a"])), encode(put_sizes(INLINE, 30))
    stream = first + second + GOODBYE
    boundaries = {0, len(first), len(first) + len(second)}
    for cut in range(len(stream)):
        decoder = Decoder(Incoming)
        messages = decoder.feed(stream[:cut])
        assert len(messages) == (cut >= len(first)) + (cut >= len(first) + len(second))
        assert decoder.midway is (cut not in boundaries)
        assert not decoder.said_goodbye


# --- what no nbcluster sends -----------------------------------------------------------------------------------------


def body_with(index: object) -> bytes:
    return msgspec.msgpack.encode([["PutData", [["k", [b"p", [index]], 1, "t"]]]])


@pytest.mark.parametrize(
    "stream",
    {
        "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "a body over the limit": struct.pack("<II", (256 << 20) + 1, 0),
        "too many buffers": struct.pack("<II", 100, (1 << 20) + 1),
        "a buffer of 2**33 bytes": frame_of(b"\x90", 1 << 33),
        "buffers without a body": frame_of(b"", INLINE),
        "a buffer of 2**62 bytes": frame_of(b"\x90", 1 << 62),
        "a large buffer after small ones": frame_of(b"\x90", INLINE, INLINE, 1 << 62),
        "a buffer that is too small to be one": frame_of(b"\x90", INLINE - 1),
        "no msgpack": frame_of(b"\xc1"),
        "no list": frame_of(b"\x80"),
        "half a list": frame_of(b"\x92\xc0"),
        "more than a list": frame_of(b"\x90\x90"),
        "a list that claims to be endless": frame_of(b"\xdd\xff\xff\xff\xff"),
        "a map that claims to be endless": frame_of(b"\x91\xdf\xff\xff\xff\xff"),
        "a text that claims to be endless": frame_of(b"\x91\x92\xdb\xff\xff\xff\xff"),
        "no text": frame_of(b"\x91\x92\xa8WantKeys\x91\xa1\xff"),
        "lists without end": frame_of(b"\x91" * 100_000),
        "maps without end": frame_of(b"\x91" + b"\x81\xa1a" * 100_000),
        "an unknown message": frame_of(msgspec.msgpack.encode([["Nonsense", []]])),
        "a message of the other direction": frame_of(msgspec.msgpack.encode([["Stopping", "x"]])),
        "a message with a field missing": frame_of(msgspec.msgpack.encode([["WantKeys"]])),
        "a message with a field of another type": frame_of(msgspec.msgpack.encode([["WantKeys", [1]]])),
        "a buffer that is not there": frame_of(body_with(0)),
        "a negative buffer": frame_of(body_with(-1), INLINE) + bytes(INLINE),
        "a buffer with a name": frame_of(body_with("0"), INLINE) + bytes(INLINE),
        "a boolean buffer": frame_of(body_with(False), INLINE) + bytes(INLINE),
        "a buffer by a fraction": frame_of(body_with(0.0), INLINE) + bytes(INLINE),
        "a buffer that nobody names": frame_of(b"\x90", INLINE) + bytes(INLINE),
        "a buffer that two name": frame_of(
            msgspec.msgpack.encode([["PutData", [["k", [b"p", [0, 0]], 1, "t"]]]]), INLINE
        )
        + bytes(INLINE),
        "an extension": frame_of(body_with(msgspec.msgpack.Ext(5, b"x"))),
        "a time": frame_of(b"\x91\x92\xa8WantKeys\x91\xc7\x0c\xff" + b"\xff" * 12),
    }.items(),
    ids=lambda item: item[0],
)
def test_it_is_refused_and_nothing_else_is_raised(stream: tuple[str, bytes]) -> None:
    decoder = Decoder(Incoming)
    with pytest.raises(ProtocolError):
        decoder.feed(stream[1] + bytes(1000))
    # And whatever follows.
    for _ in range(2):
        with pytest.raises(ProtocolError):
            decoder.feed(encode(WantKeys(["a"])))


def test_pickles_are_only_bytes() -> None:
    class Explodes:
        def __reduce__(self) -> tuple[Any, ...]:
            return pytest.fail, ("a decoder unpickled something",)

    hostile = pickle.dumps(Explodes())
    message = PutData([DataItem("k", Payload(hostile, (Frame(hostile), Frame(hostile * 1000))))])
    Decoder(Incoming).feed(encode(message))
    for body in (hostile, msgspec.msgpack.encode([hostile])):
        with pytest.raises(ProtocolError):
            Decoder(ToClient).feed(frame_of(body))


# --- a claim costs nothing -------------------------------------------------------------------------------------------


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "claim",
    {
        "a body of 256 MiB": struct.pack("<II", 256 << 20, 0) + b"\x91",
        "a million buffers": struct.pack("<II", 100, 1 << 20) + b"\x00",
        "a buffer of 4 GiB": frame_of(b"\x90", 4 << 30) + b"x",
        "a thousand buffers of 4 GiB": frame_of(b"\x90", *[4 << 30] * 1000) + b"x",
        "2**33": frame_of(b"\x90", 1 << 33),
        "2**62": frame_of(b"\x90", 1 << 62),
    }.items(),
    ids=lambda item: item[0],
)
def test_a_claimed_size_takes_less_than_a_megabyte(claim: tuple[str, bytes]) -> None:
    def feed() -> None:
        decoder = Decoder(Incoming)
        try:
            decoder.feed(claim[1])
        except ProtocolError:
            pass

    feed()
    before = resident()
    tracemalloc.start()
    feed()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MIB
    assert resident() - before < 4 * MIB  # a huge page or two


def test_a_size_for_which_there_is_no_address_space_is_refused() -> None:
    decoder = Decoder(Incoming, Limits(buffer=1 << 62))
    with pytest.raises(ProtocolError, match=r"no memory"):
        decoder.feed(frame_of(b"\x90", 1 << 61))


def test_a_small_result_is_nothing_that_the_garbage_collector_looks_at() -> None:
    encoder, decoder = Encoder(), Decoder(TasksDone)
    encoder.add((TasksDone([TaskDone("k", 1, 28, "int", 0, 0.0, 1.0, Payload(b"pickled"))]),))
    [message] = decoder.feed(b"".join(encoder.take()))
    [done] = message.items
    assert not any(map(gc.is_tracked, (done, done.payload, done.payload.frames)))


# --- shared memory ---


class Shelf:
    """Shared memory as far as links go: blobs by name."""

    lost = False
    elsewhere = False

    def __init__(self) -> None:
        self.adopted: list[tuple[int, int]] = []
        self.named = 0
        self.opened = 0

    @property
    def nbytes(self) -> int:
        return INLINE

    def name(self) -> int:
        self.named += 1
        return 7

    def open(self) -> memoryview:
        self.opened += 1
        return memoryview(b"s" * INLINE)

    def adopt(self, blob: int, nbytes: int) -> Frame:
        self.adopted.append((blob, nbytes))
        return Frame(None, shared=self)


def test_what_both_ends_see_is_named_and_not_sent() -> None:
    there, here = Shelf(), Shelf()
    encoder, decoder = Encoder(), Decoder(Incoming)
    encoder.shares, decoder.shared = True, here
    encoder.add((put(Frame(None, shared=there), Frame(b"x" * INLINE)),))
    sent = b"".join(encoder.take())
    assert len(sent) < INLINE + 200
    [message] = decoder.feed(sent)
    [shared, plain_frame] = message.items[0].payload.frames
    assert (shared.shared, bytes(plain_frame.buffer)) == (here, b"x" * INLINE)
    assert here.adopted == [(7, INLINE)]
    assert (there.named, there.opened, here.opened) == (1, 0, 0)


def test_what_the_other_end_does_not_see_is_sent_from_there() -> None:
    there = Shelf()
    [message] = Decoder(Incoming).feed(encode(put(Frame(None, shared=there))))
    [frame] = message.items[0].payload.frames
    assert (bytes(frame.buffer), frame.shared) == (b"s" * INLINE, None)
    assert (there.named, there.opened) == (0, 1)


def test_what_is_gone_leaves_nothing_behind_in_the_encoder() -> None:
    class Gone(Shelf):
        def open(self) -> memoryview:
            raise SharedDataGoneError("it is gone")

    encoder = Encoder()
    with pytest.raises(SharedDataGoneError):
        encoder.add((put(Frame(b"x" * INLINE), Frame(None, shared=Gone())),))
    assert (encoder.take(), encoder.pending_bytes) == ([], 0)


@pytest.mark.parametrize(
    "name", [[], [1], [1, 2, 3], [1, -1], [True, 1], [1.0, 1], ["1", 1], [1, "1"], [None, None], [[1], 1], {"a": 1}]
)
@pytest.mark.parametrize("shares", [True, False])
def test_a_name_of_nothing_shared_is_refused(name: Any, shares: bool) -> None:
    shelf = Shelf()
    decoder = Decoder(Incoming)
    decoder.shared = shelf if shares else None
    with pytest.raises(ProtocolError):
        decoder.feed(frame_of(body_with(name)))
    assert shelf.adopted == []


def test_a_link_that_carries_little_takes_little_memory() -> None:
    messages = [WantKeys(["x"])] * 3
    encoder, decoder = Encoder(), Decoder(Incoming)
    encoder.add(tuple(messages))
    [frame] = encoder.take()
    for _ in range(CHUNKS[0]):
        assert decoder.feed(frame) == messages
    assert len(decoder._chunk) == CHUNKS[0]
    assert decoder.feed(bytes(frame) * CHUNKS[0]) == messages * CHUNKS[0]
    assert len(decoder._chunk) == CHUNK


def test_all_links_share_what_is_known_of_their_messages() -> None:
    assert framing._body(Incoming) is framing._body(Incoming)


def test_a_name_is_refused_on_a_link_whose_ends_share_nothing() -> None:
    with pytest.raises(ProtocolError, match="share nothing"):
        Decoder(Incoming).feed(frame_of(body_with([1, 5])))
