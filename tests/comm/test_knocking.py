from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from nbcluster.comm.knocking import Knocked, knock
from nbcluster.comm.transports import connect
from nbcluster.errors import HandshakeError
from nbcluster.protocol.messages import RegisterClient, ToClient
from nbcluster.types import Role
from tests.support.links import TOKEN, Recorder, Wire, run, wire

GREETING = RegisterClient("Client-1")


async def knocked_at(made: Wire, token: bytes = TOKEN) -> Knocked | None:
    """From another thread: the loop of this one has to answer."""
    return await asyncio.to_thread(lambda: knock(made.listener.address, role=Role.CLIENT, token=token))


async def go_on(made: Wire, knocked: Knocked | None) -> Recorder:
    """Make the link that was begun; what the listener hears of it."""
    link = await connect(
        made.listener.address,
        role=Role.CLIENT,
        token=TOKEN,
        incoming=ToClient,
        timeout=5,
        opening=(GREETING,),
        knocked=knocked,
    )
    heard = Recorder()
    (await made.arrival()).start(heard)
    await heard.count(1)
    link.abort()
    return heard


def test_a_link_begun_in_a_thread_goes_on_on_a_loop_and_its_opening_is_heard_once(loop_kind: str) -> None:
    async def main() -> None:
        async with wire("unix") as made:
            knocked = await knocked_at(made)
            assert knocked is not None
            heard = await go_on(made, knocked)
            await heard.end()
            assert heard.messages == [GREETING]
            knocked.close()  # too late, and harmless

    run(loop_kind, main())


def test_elsewhere_than_at_a_socket_file_nobody_knocks(loop_kind: str) -> None:
    async def main() -> None:
        async with wire("tcp") as made:
            assert await knocked_at(made) is None
            assert (await go_on(made, None)).messages == [GREETING]

    run(loop_kind, main())


def test_where_nobody_listens_it_is_left_to_who_tries_again(tmp_path: Path) -> None:
    assert knock(f"unix://{tmp_path}/nobody", role=Role.CLIENT, token=TOKEN) is None


def test_another_token_is_found_out_by_who_goes_on(loop_kind: str) -> None:
    async def main() -> None:
        async with wire("unix") as made:
            knocked = await knocked_at(made, bytes(32))
            with pytest.raises(HandshakeError, match="another token"):
                await go_on(made, knocked)

    run(loop_kind, main())


def test_a_link_that_breaks_before_it_is_made_is_begun_anew(loop_kind: str) -> None:
    async def main() -> None:
        async with wire("unix") as made:
            knocked = await knocked_at(made)
            assert knocked is not None
            knocked.take().close()
            ours, theirs = socket.socketpair()
            theirs.close()
            ours.setblocking(False)
            assert (await go_on(made, Knocked(ours, knocked.handshake))).messages == [GREETING]

    run(loop_kind, main())
