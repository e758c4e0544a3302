from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from nbcluster.comm.base import Connection, Listener
from nbcluster.comm.peers import PeerPool, announce_shortcut, withdraw_shortcut
from nbcluster.comm.transports import listen
from nbcluster.errors import CommError, HandshakeError
from nbcluster.protocol.messages import Data, DataItem, GetData
from nbcluster.protocol.payload import Payload
from nbcluster.types import Role
from tests.support.eventually import soon
from tests.support.links import DEADLINE, TOKEN, run


class Holder:
    """A worker that holds whatever begins with its letter; answers at once, or when told to."""

    def __init__(self, letter: str) -> None:
        self.letter = letter
        self.links: list[Connection] = []
        self.open: list[tuple[Connection, GetData]] = []
        self.patient = False
        self.listener: Listener

    def accept(self, link: Connection) -> None:
        self.links.append(link)
        link.start(_Session(self, link))

    def answer(self) -> None:
        for link, request in self.open:
            items = [DataItem(key, Payload(key.encode())) for key in request.keys if key[0] == self.letter]
            link.send(Data(request.request, items, [key for key in request.keys if key[0] != self.letter]))
        self.open.clear()


class _Session:
    def __init__(self, holder: Holder, link: Connection) -> None:
        self.holder = holder
        self.link = link

    def received(self, messages: list[Any]) -> None:
        self.holder.open += [(self.link, message) for message in messages]
        if not self.holder.patient:
            self.holder.answer()

    def lost(self, error: Exception | None) -> None:
        self.holder.links.remove(self.link)


@asynccontextmanager
async def holding(letter: str, directory: Path) -> AsyncIterator[Holder]:
    holder = Holder(letter)
    holder.listener = await listen(
        f"unix://{directory}/{letter}.sock",
        token=TOKEN,
        incoming={Role.PEER: GetData},
        on_connection=holder.accept,
    )
    try:
        yield holder
    finally:
        await holder.listener.close()


def test_what_is_there_is_fetched_and_what_is_not_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        pool = PeerPool(TOKEN)
        async with holding("a", tmp_path) as holder:
            items, missing = await pool.fetch(holder.listener.address, ["a1", "b1"])
            assert [item.key for item in items] == ["a1"]
            assert missing == ["b1"]
            await pool.close()
            await soon(lambda: not holder.links)

    run("uvloop", main())


def test_fetches_from_one_address_share_a_link_and_do_not_mix(tmp_path: Path) -> None:
    async def main() -> None:
        pool = PeerPool(TOKEN)
        async with holding("a", tmp_path) as holder:
            address = holder.listener.address
            answers = await asyncio.gather(*(pool.fetch(address, [f"a{i}"]) for i in range(20)))
            assert [items[0].key for items, _ in answers] == [f"a{i}" for i in range(20)]
            assert len(holder.links) == 1
            await pool.close()

    run("uvloop", main())


def test_a_fetch_that_is_cancelled_leaves_the_link_to_the_others(tmp_path: Path) -> None:
    async def main() -> None:
        pool = PeerPool(TOKEN)
        async with holding("a", tmp_path) as holder:
            holder.patient = True
            fetches = [asyncio.ensure_future(pool.fetch(holder.listener.address, [f"a{i}"])) for i in range(2)]
            await asyncio.sleep(0)
            fetches[0].cancel()
            await soon(lambda: holder.open)
            holder.answer()
            assert (await fetches[1])[0][0].key == "a1"
            assert fetches[0].cancelled()
            await pool.close()

    run("uvloop", main())


def test_a_link_that_is_lost_fails_who_waits_and_is_made_anew(tmp_path: Path) -> None:
    async def main() -> None:
        pool = PeerPool(TOKEN)
        async with holding("a", tmp_path) as holder:
            holder.patient = True
            fetch = asyncio.ensure_future(pool.fetch(holder.listener.address, ["a1"]))
            await soon(lambda: holder.open)
            holder.open.clear()
            holder.links[0].abort()
            with pytest.raises(CommError, match="went away before it answered"):
                await fetch
            holder.patient = False
            items, _ = await pool.fetch(holder.listener.address, ["a2"])
            assert items[0].key == "a2"
            await pool.close()

    run("uvloop", main())


def test_nobody_there_is_an_error_that_says_so_and_not_for_ever(tmp_path: Path) -> None:
    async def main() -> None:
        pool = PeerPool(TOKEN, connect_timeout=0.01)
        for _ in range(2):
            with pytest.raises(CommError, match=r"a\.sock"):
                await pool.fetch(f"unix://{tmp_path}/a.sock", ["a1"])
        with pytest.raises(CommError, match="cannot fetch from there"):
            await pool.fetch("junk", ["a1"])
        async with holding("a", tmp_path) as holder:
            assert (await pool.fetch(holder.listener.address, ["a1"]))[1] == []
            await pool.close()

    run("uvloop", main())


def test_a_stranger_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        pool = PeerPool(b"another token of sufficient length")
        async with holding("a", tmp_path) as holder:
            with pytest.raises(HandshakeError):
                await pool.fetch(holder.listener.address, ["a1"])
            await pool.close()

    run("uvloop", main())


def test_a_closed_pool_ends_what_is_open_and_starts_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        pool = PeerPool(TOKEN)
        async with holding("a", tmp_path) as holder:
            holder.patient = True
            fetch = asyncio.ensure_future(pool.fetch(holder.listener.address, ["a1"]))
            await soon(lambda: holder.open)
            await asyncio.wait_for(pool.close(), DEADLINE)
            await pool.close()
            with pytest.raises(CommError):
                await fetch
            with pytest.raises(CommError, match="is closed"):
                await pool.fetch(holder.listener.address, ["a1"])

    run("uvloop", main())


def test_a_worker_of_this_process_is_reached_through_memory(tmp_path: Path) -> None:
    async def main() -> None:
        holder = Holder("a")
        listener = await listen("inproc://", token=TOKEN, incoming={Role.PEER: GetData}, on_connection=holder.accept)
        address = f"unix://{tmp_path}/never-listens.sock"
        announce_shortcut(address, listener.address)
        pool = PeerPool(TOKEN, connect_timeout=0.01)
        items, _ = await pool.fetch(address, ["a1"])
        assert items[0].key == "a1"
        assert holder.links[0].in_process
        withdraw_shortcut(address)
        withdraw_shortcut(address)
        await pool.close()
        with pytest.raises(CommError):
            await PeerPool(TOKEN, connect_timeout=0.01).fetch(address, ["a1"])
        await listener.close()

    run("uvloop", main())
