"""Who has no token, or only what he has recorded, gets nowhere."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from nbcluster.comm.admission import HandshakePolicy
from nbcluster.comm.transports import _StreamListener, connect
from nbcluster.errors import HandshakeError
from nbcluster.protocol.handshake import MAGIC, ListenerHandshake
from nbcluster.protocol.messages import (
    PROTOCOL_VERSION,
    ToClient,
    WantKeys,
)
from nbcluster.types import Role
from tests.support.eventually import soon
from tests.support.links import TOKEN, Recorder, RecordingProxy, Stranger, run, wire
from tests.support.wire_attacks import HELLO, forge, honest_stream, still_serves

# --- wrong tokens ----------------------------------------------------------------------------------------------------


def test_ten_thousand_tries_with_wrong_and_empty_tokens_all_fail() -> None:
    chance = random.Random(4)
    tokens = [b"", b"\0", TOKEN[:-1], TOKEN + b"\1", TOKEN.hex().encode(), bytes(32)]
    tokens += [chance.randbytes(32) for _ in range(10_000 - len(tokens))]
    begin = HELLO.pack(MAGIC, PROTOCOL_VERSION, 0, bytes(32))
    for token in tokens:
        listener = ListenerHandshake({Role.CLIENT}, TOKEN)
        challenge = listener.feed(begin)
        with pytest.raises(HandshakeError):
            listener.feed(forge(token, begin, challenge))
        assert listener.wanted
    # That it is the tokens that are wrong, and not the forgery:
    listener = ListenerHandshake({Role.CLIENT}, TOKEN)
    assert listener.feed(forge(TOKEN, begin, listener.feed(begin))) == b"\0"


def test_guesses_with_messages_behind_them_wait_as_long_and_are_as_few(transport: str, loop_kind: str) -> None:
    stream = honest_stream()

    async def main() -> None:
        async with wire(transport, policy=HandshakePolicy(penalty=60, deadline=120, waiting=5)) as made:
            guesses = [Stranger(made.listener.address) for _ in range(10)]
            begin = HELLO.pack(MAGIC, PROTOCOL_VERSION, 0, bytes(32))
            for stranger in guesses:
                await stranger.__aenter__()
                await stranger.send(begin)
                await stranger.send(forge(bytes(32), begin, await stranger.receive(75)) + stream)
            assert isinstance(made.listener, _StreamListener)
            admission = made.listener._admission
            await soon(lambda: len(admission) == 5)
            assert await guesses[0].receive(1) == b""  # pushed out by the last
            last = asyncio.ensure_future(guesses[-1].receive(1))
            await still_serves(made)
            assert not last.done()
            assert not made.accepted
            last.cancel()
            await asyncio.wait([last])
            for stranger in guesses:
                await stranger.__aexit__()

    run(loop_kind, main())


def test_who_guesses_tokens_waits_for_each_answer_and_nobody_else_does(transport: str, loop_kind: str) -> None:
    async def main() -> None:
        policy = HandshakePolicy(penalty=60, deadline=120, waiting=20)
        async with wire(transport, policy=policy) as made:
            guesses = [Stranger(made.listener.address) for _ in range(60)]
            begin = HELLO.pack(MAGIC, PROTOCOL_VERSION, 0, bytes(32))
            for number, stranger in enumerate(guesses):
                await stranger.__aenter__()
                await stranger.send(begin)
                challenge = await stranger.receive(75)
                await stranger.send(forge(b"" if number % 2 else bytes(32), begin, challenge))
                if number % 20 == 19:
                    await still_serves(made)
            # Those who were pushed out by others learn nothing either; who waits gets no answer before its time.
            assert await guesses[0].receive(1) == b""
            last = asyncio.ensure_future(guesses[-1].receive(1))
            await still_serves(made)
            assert not last.done()
            last.cancel()
            await asyncio.wait([last])
            for stranger in guesses:
                await stranger.__aexit__()

    run(loop_kind, main())


# --- a proxy that records --------------------------------------------------------------------------------------------


def test_a_recorded_link_cannot_be_replayed_to_either_side(loop_kind: str) -> None:
    async def main() -> None:
        async with wire("tcp", policy=HandshakePolicy(penalty=0)) as made:
            async with RecordingProxy(made.listener.address) as proxy:
                near = await made.connect(proxy.address)
                near.start(Recorder())
                far = await made.arrival()
                recorder = Recorder()
                far.start(recorder)
                near.send(WantKeys(["secret"]))
                await recorder.count(1)
                await near.close()
                await recorder.end()
            # To the listener: all at once, and record by record.
            for pieces in ([proxy.said["connector"]], [proxy.said["connector"][:43], proxy.said["connector"][43:]]):
                async with Stranger(made.listener.address) as stranger:
                    for piece in pieces:
                        await stranger.send(piece)
                        await asyncio.sleep(0.01)
                    assert await stranger.receive(76) != proxy.said["listener"][:76]
            assert not made.accepted

            # To a connector.
            async def replay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(proxy.said["listener"])
                writer.close()

            await refused_by_connectors(replay)
            await still_serves(made)

    run(loop_kind, main())


def test_what_a_party_says_cannot_be_reflected_to_it(loop_kind: str) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begin = await reader.readexactly(43)
        # As it is, made up to the size of a challenge with its own nonce for a proof, and with an empty one.
        writer.write((begin + begin[11:] + bytes(75))[:75])
        writer.close()

    async def main() -> None:
        await refused_by_connectors(echo)
        async with wire("tcp", policy=HandshakePolicy(penalty=0)) as made:
            for part in (slice(43, 75), slice(11, 43)):  # the listener's own proof, and its nonce
                async with Stranger(made.listener.address) as stranger:
                    await stranger.send(HELLO.pack(MAGIC, PROTOCOL_VERSION, 0, bytes(32)))
                    await stranger.send((await stranger.receive(75))[part])
                    assert await stranger.receive(10) == b"\3"
            # The listener's challenge as a connector's nonce, on a second link, to have it prove for the first.
            async with Stranger(made.listener.address) as first, Stranger(made.listener.address) as second:
                await first.send(HELLO.pack(MAGIC, PROTOCOL_VERSION, 0, bytes(32)))
                challenge = await first.receive(75)
                await second.send(HELLO.pack(MAGIC, PROTOCOL_VERSION, 0, challenge[11:43]))
                await first.send((await second.receive(75))[43:])
                assert await first.receive(10) == b"\3"
            assert not made.accepted

    run(loop_kind, main())


async def refused_by_connectors(
    visit: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> None:
    """A connector that meets this impostor refuses it."""
    server = await asyncio.start_server(visit, "127.0.0.1", 0)
    address = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(HandshakeError):
        await connect(address, role=Role.CLIENT, token=TOKEN, incoming=ToClient, timeout=5)
    server.close()
