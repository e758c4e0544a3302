"""What strangers and broken peers can do to a port: nothing."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import resource
import struct
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcluster.comm.admission import HandshakePolicy
from nbcluster.errors import CommClosedError, ProtocolError
from nbcluster.protocol.framing import INLINE, Decoder, Encoder
from nbcluster.protocol.handshake import MAGIC, ConnectorHandshake
from nbcluster.protocol.messages import (
    PROTOCOL_VERSION,
    ClientMessage,
    DataItem,
    PutData,
    ToClient,
    WantKeys,
)
from nbcluster.protocol.payload import Buffer, Frame, Payload
from nbcluster.types import Role
from tests.support.links import TOKEN, Recorder, Stranger, run, wire
from tests.support.wire_attacks import HELLO, MIB, honest_stream, still_serves

# --- a connection that is cut ----------------------------------------------------------------------------------------


def test_a_handshake_can_be_cut_at_every_byte(transport: str, loop_kind: str) -> None:
    async def main() -> None:
        async with wire(transport) as made:
            for cut in range(HELLO.size):
                async with Stranger(made.listener.address) as stranger:
                    await stranger.send(ConnectorHandshake(Role.CLIENT, TOKEN).begin()[:cut])
            for cut in range(32):
                async with Stranger(made.listener.address) as stranger:
                    connector = ConnectorHandshake(Role.CLIENT, TOKEN)
                    await stranger.send(connector.begin())
                    await stranger.send(connector.feed(await stranger.receive(connector.wanted))[:cut])
            await still_serves(made)

    run(loop_kind, main())


def test_a_link_can_be_cut_at_every_byte(transport: str, loop_kind: str) -> None:
    stream = honest_stream()
    cuts = [*range(250), *range(250, len(stream), 97), *range(len(stream) - 60, len(stream))]

    async def main() -> None:
        async with wire(transport) as made:
            for cut in cuts:
                recorder = Recorder()
                async with Stranger(made.listener.address) as stranger:
                    await stranger.authenticate()
                    await stranger.send(stream[:cut])
                    (await made.arrival()).start(recorder)
                assert isinstance(await recorder.end(), CommClosedError), cut
            await still_serves(made)

    run(loop_kind, main())


def test_what_comes_right_behind_the_proof_can_be_cut_at_every_byte(transport: str, loop_kind: str) -> None:
    stream = honest_stream()

    async def main() -> None:
        async with wire(transport) as made:
            for cut in range(250):
                recorder = Recorder()
                async with Stranger(made.listener.address) as stranger:
                    connector = ConnectorHandshake(Role.CLIENT, TOKEN)
                    await stranger.send(connector.begin())
                    proof = connector.feed(await stranger.receive(connector.wanted))
                    await stranger.send(proof + stream[:cut])
                    (await made.arrival()).start(recorder)
                assert isinstance(await recorder.end(), CommClosedError), cut
                assert recorder.messages[:1] in ([], [WantKeys(["a", "b"])])
            await still_serves(made)

    run(loop_kind, main())


# --- garbage ---------------------------------------------------------------------------------------------------------

GARBAGE = [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /nbcluster HTTP/1.1\r\nContent-Length: 10000\r\n\r\n" + bytes(10_000),
    bytes.fromhex("16030102000100"),
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\0" * 5000,
    b"\xff" * 5000,
    b"\n",
    struct.pack("<Q", 1 << 33),
    struct.pack(">Q", 1 << 62),
]


def test_garbage_on_a_port_is_dropped(transport: str, loop_kind: str) -> None:
    chance = random.Random(1)

    async def main() -> None:
        async with wire(transport, policy=HandshakePolicy(deadline=0.3)) as made:
            for data in [*GARBAGE, *(chance.randbytes(chance.randrange(1, 3000)) for _ in range(100))]:
                async with Stranger(made.listener.address) as stranger:
                    try:
                        await stranger.send(data)
                    except ConnectionError:  # it has been dropped before it was through
                        continue
                    assert await stranger.receive(100) == b""
            assert not made.accepted
            await still_serves(made)

    run(loop_kind, main())


def test_garbage_from_one_who_has_the_token_costs_him_his_link(transport: str, loop_kind: str) -> None:
    stream = honest_stream()
    chance = random.Random(2)

    async def main() -> None:
        async with wire(transport) as made:
            for data in [GARBAGE[0], GARBAGE[5], *(bytes(mutate(stream, chance)) for _ in range(100))]:
                recorder = Recorder()
                async with Stranger(made.listener.address) as stranger:
                    await stranger.authenticate()
                    (await made.arrival()).start(recorder)
                    try:
                        await stranger.send(data)
                    except ConnectionError:
                        pass
                error = await recorder.end()
                assert error is None or isinstance(error, ProtocolError | CommClosedError)
            await still_serves(made)

    run(loop_kind, main())


def mutate(stream: bytes, chance: random.Random) -> bytearray:
    """Like ``stream``, but for a few changes."""
    data = bytearray(stream)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(data))
        what = chance.randrange(5)
        if what == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            data[at] = chance.choice(b"\x00\x01\x7f\x80\x90\xc0\xc1\xc4\xc6\xca\xdb\xdd\xdf\xff")
        elif what == 2:
            del data[at : at + chance.randrange(1, 9)]
        elif what == 3:
            data[at:at] = chance.randbytes(chance.randrange(1, 9))
        else:
            data[at : at + 8] = struct.pack("<Q", 1 << chance.randrange(64))
        if not data:
            break
    return data


def feed(incoming: Any, data: Buffer) -> None:
    """Whatever the bytes are, a decoder may only refuse them."""
    try:
        Decoder(incoming).feed(data)
    except ProtocolError:
        pass


def test_a_hundred_thousand_fuzzed_frames_do_no_harm() -> None:
    chance = random.Random(3)
    whole = honest_stream()
    encoder = Encoder()
    encoder.add((WantKeys(["a", "b"]), PutData([DataItem("k", Payload(b"p", (Frame(b"small"),)), 3, "t")])))
    short = b"".join(encoder.take())
    for number in range(100_000):
        feed(ClientMessage | PutData, mutate(whole if number % 50 == 0 else short, chance))


@settings(max_examples=300, deadline=None)
@given(
    bodies=st.lists(st.binary(max_size=60), max_size=4),
    buffers=st.lists(st.integers(0, 1 << 64) | st.integers(INLINE - 1, INLINE + 1), max_size=3),
    tail=st.binary(max_size=100),
)
def test_frames_of_any_bytes_do_no_harm(bodies: list[bytes], buffers: list[int], tail: bytes) -> None:
    sizes = [size % (1 << 64) for size in buffers]
    stream = b"".join(struct.pack("<II", len(body), 0) + body for body in bodies)
    stream += struct.pack(f"<II{len(sizes)}Q", len(tail), len(sizes), *sizes) + tail + bytes(3 * INLINE)
    for incoming in (ClientMessage | PutData, ToClient):
        feed(incoming, stream)


# --- claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1 << 33, 1 << 62])
def test_an_oversized_buffer_is_refused_before_anything_is_allocated(size: int, transport: str, loop_kind: str) -> None:
    async def main() -> None:
        async with wire(transport) as made, Stranger(made.listener.address) as stranger:
            await stranger.authenticate()
            recorder = Recorder()
            (await made.arrival()).start(recorder)
            tracemalloc.start()
            await stranger.send(struct.pack("<IIQ", 1, 1, size) + b"\x90")
            assert isinstance(await recorder.end(), ProtocolError)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < MIB
            assert await stranger.receive(1) == b""

    run(loop_kind, main())


# --- silence ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="limits of descriptors are a POSIX matter")
def test_a_thousand_silent_connections_are_closed_and_keep_nobody_out(transport: str, loop_kind: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))

    async def main() -> None:
        policy = HandshakePolicy(deadline=0.5, waiting=256)
        async with wire(transport, policy=policy) as made:
            silent = [Stranger(made.listener.address) for _ in range(1000)]
            for number, stranger in enumerate(silent):
                await stranger.__aenter__()
                if number % 250 == 0:
                    await still_serves(made)
            closed = await asyncio.gather(*(stranger.receive(1) for stranger in silent))
            assert closed == [b""] * 1000
            for stranger in silent:
                await stranger.__aexit__()
            await still_serves(made)

    try:
        run(loop_kind, main())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_by_default_the_deadline_is_five_seconds() -> None:
    assert HandshakePolicy().deadline == 5.0


# --- pickles ---------------------------------------------------------------------------------------------------------


def test_a_pickle_from_a_stranger_is_never_unpickled(
    transport: str, loop_kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "unpickled"

    class Marks:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(marker),)

    hostile = [pickle.dumps(Marks(), protocol) for protocol in range(6)] + [cloudpickle.dumps(Marks())]

    def caught(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("something was unpickled")

    for module in (pickle, cloudpickle):
        monkeypatch.setattr(module, "loads", caught)
        monkeypatch.setattr(module, "load", caught)
    monkeypatch.setattr(pickle, "Unpickler", caught)

    async def main() -> None:
        async with wire(transport, policy=HandshakePolicy(penalty=0.01, deadline=0.2)) as made:
            for data in hostile:
                body = data.ljust(32, b".")
                begin = HELLO.pack(MAGIC, PROTOCOL_VERSION, 0, body[:32])
                frame = struct.pack("<II", len(data), 0) + data
                for said, answered in (
                    ([data], 0),
                    ([body * 3], 0),
                    ([HELLO.pack(MAGIC, PROTOCOL_VERSION, 255, body[:32]) + frame], 75),
                    ([HELLO.pack(MAGIC, 9999, 0, body[:32]) + frame], 75),
                    ([begin, body[:32]], 75),
                    ([begin + frame, frame * 10], 75),
                ):
                    async with Stranger(made.listener.address) as stranger:
                        try:
                            for part in said:
                                await stranger.send(part)
                        except ConnectionError:
                            pass
                        assert len(await stranger.receive(1000)) <= answered + 1
            assert not made.accepted
            await still_serves(made)

    run(loop_kind, main())
    assert not marker.exists()
