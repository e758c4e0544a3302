from __future__ import annotations

import asyncio
import struct

import pytest

from nbcluster.comm.admission import HandshakePolicy
from nbcluster.comm.base import Connection
from nbcluster.comm.transports import _StreamListener
from nbcluster.protocol.handshake import MAGIC, ConnectorHandshake
from nbcluster.protocol.messages import PROTOCOL_VERSION, Stopping
from nbcluster.types import Role
from tests.support.eventually import soon
from tests.support.links import TOKEN, Recorder, Stranger, Wire, run, wire


def waiting(made: Wire) -> int:
    assert isinstance(made.listener, _StreamListener)
    return len(made.listener._admission)


def test_who_is_through_waits_no_more(transport: str, loop_kind: str) -> None:
    async def main() -> None:
        async with wire(transport) as made:
            await made.pair()
            assert waiting(made) == 0

    run(loop_kind, main())


def test_who_says_nothing_is_dropped_at_the_deadline(transport: str, loop_kind: str) -> None:
    async def main() -> None:
        async with (
            wire(transport, policy=HandshakePolicy(deadline=0.1)) as made,
            Stranger(made.listener.address) as stranger,
        ):
            assert await stranger.receive(1) == b""
            assert waiting(made) == 0

    run(loop_kind, main())


def test_who_dribbles_is_dropped_at_the_deadline(transport: str, loop_kind: str) -> None:
    async def main() -> None:
        async with (
            wire(transport, policy=HandshakePolicy(deadline=0.2)) as made,
            Stranger(made.listener.address) as stranger,
        ):
            for byte in ConnectorHandshake(Role.CLIENT, TOKEN).begin()[:-1]:
                await stranger.send(bytes([byte]))
                await asyncio.sleep(0)
            assert await stranger.receive(1) == b""

    run(loop_kind, main())


def test_who_stops_after_the_challenge_is_dropped_at_the_deadline(transport: str, loop_kind: str) -> None:
    async def main() -> None:
        async with (
            wire(transport, policy=HandshakePolicy(deadline=0.1)) as made,
            Stranger(made.listener.address) as stranger,
        ):
            await stranger.send(ConnectorHandshake(Role.CLIENT, TOKEN).begin())
            assert len(await stranger.receive(200)) == 75
            assert waiting(made) == 0

    run(loop_kind, main())


def test_a_crowd_that_waits_pushes_out_itself_and_blocks_nobody(transport: str, loop_kind: str) -> None:
    async def main() -> None:
        async with wire(transport, policy=HandshakePolicy(deadline=60, waiting=5)) as made:
            strangers = [Stranger(made.listener.address) for _ in range(20)]
            for number, stranger in enumerate(strangers):
                await stranger.__aenter__()
                await soon(lambda number=number: waiting(made) == min(number + 1, 5))  # type: ignore[misc]
                if number % 5 == 0:
                    near, _ = await made.pair()
                    near.abort()
            # An honest one that came while the house was full was in the place of the oldest.
            assert [await stranger.receive(1) for stranger in strangers[:15]] == [b""] * 15
            for stranger in strangers:
                await stranger.__aexit__()
            await soon(lambda: waiting(made) == 0)

    run(loop_kind, main())


def test_a_wrong_proof_is_told_late_and_holds_up_nobody(transport: str, loop_kind: str) -> None:
    async def main() -> None:
        policy = HandshakePolicy(deadline=60, penalty=0.2)
        async with wire(transport, policy=policy) as made, Stranger(made.listener.address) as stranger:
            await stranger.send(ConnectorHandshake(Role.CLIENT, TOKEN).begin())
            await stranger.receive(75)
            await stranger.send(bytes(32))
            told = asyncio.ensure_future(stranger.receive(10))
            await soon(lambda: waiting(made) == 1)
            near, _ = await made.pair()
            assert not told.done()
            assert await told == b"\x03"
            assert waiting(made) == 0
            near.abort()

    run(loop_kind, main())


def test_what_else_a_refused_one_says_is_not_even_read(transport: str, loop_kind: str) -> None:
    async def main() -> None:
        policy = HandshakePolicy(deadline=60, penalty=0.1)
        async with wire(transport, policy=policy) as made, Stranger(made.listener.address) as stranger:
            connector = ConnectorHandshake(Role.CLIENT, TOKEN)
            await stranger.send(connector.begin())
            proof = connector.feed(await stranger.receive(75))
            await stranger.send(bytes(32) + proof)
            assert (await stranger.receive(10))[:1] in (b"\x03", b"")
            assert not made.accepted

    run(loop_kind, main())


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3, bytes(100), b"\xff" * 100, MAGIC[::-1] * 20]
)
def test_what_is_not_nbcluster_is_dropped_without_a_word(garbage: bytes, transport: str, loop_kind: str) -> None:
    async def main() -> None:
        async with wire(transport) as made, Stranger(made.listener.address) as stranger:
            await stranger.send(garbage)
            assert await stranger.receive(1) == b""
            assert waiting(made) == 0

    run(loop_kind, main())


def test_who_hangs_up_is_forgotten(transport: str, loop_kind: str) -> None:
    async def main() -> None:
        begin = struct.pack("<8sHB32s", MAGIC, PROTOCOL_VERSION, 0, bytes(32))
        async with wire(transport) as made:
            for said in (b"", begin[:20], begin, begin + bytes(10)):
                async with Stranger(made.listener.address) as stranger:
                    await stranger.send(said)
                    await soon(lambda: waiting(made) == 1)
                await soon(lambda: waiting(made) == 0)

    run(loop_kind, main())


def test_closing_the_listener_sends_away_who_waits(transport: str, loop_kind: str) -> None:
    async def main() -> None:
        async with wire(transport) as made, Stranger(made.listener.address) as stranger:
            await soon(lambda: waiting(made) == 1)
            await made.listener.close()
            assert await stranger.receive(1) == b""
            assert waiting(made) == 0

    run(loop_kind, main())


def test_messages_that_follow_the_handshake_at_once_are_not_lost(transport: str, loop_kind: str) -> None:
    # The listener's first message may arrive together with its verdict.
    async def main() -> None:
        def greet(link: Connection) -> None:
            link.start(Recorder())
            link.send(Stopping("hello"))

        async with wire(transport, on_connection=greet) as made:
            for _ in range(20):
                near = await made.connect()
                recorder = Recorder()
                near.start(recorder)
                assert await recorder.count(1) == [Stopping("hello")]

    run(loop_kind, main())
