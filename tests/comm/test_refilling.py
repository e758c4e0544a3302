"""Memory that is filled again: nobody ever loses what is in it, and none is kept for long."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbcluster.comm import refilling
from nbcluster.comm.base import Connection
from nbcluster.comm.peers import PeerPool
from nbcluster.comm.refilling import SIZE_LEAST, SIZE_MOST, WASTE, RefilledMemory
from nbcluster.comm.transports import listen
from nbcluster.protocol.messages import Data, DataItem, GetData
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.types import Role
from tests.support.eventually import soon
from tests.support.links import TOKEN, run

SIZE = SIZE_LEAST


def on_a_loop(test: Callable[[RefilledMemory], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def wrapper() -> None:
        async def main() -> None:
            memory = RefilledMemory(asyncio.get_running_loop())
            await test(memory)
            memory.close()
            assert len(memory) == 0

        asyncio.run(main())

    wrapper.__name__ = test.__name__
    return wrapper


def place(view: memoryview) -> int:
    """Where it is in memory."""
    return int(np.frombuffer(view, np.uint8).__array_interface__["data"][0])


@on_a_loop
async def test_memory_that_nobody_holds_is_filled_again(memory: RefilledMemory) -> None:
    target = memory(SIZE)
    first = place(target.view)
    del target
    assert place(memory(SIZE).view) == first
    assert len(memory) == 1


@on_a_loop
async def test_what_somebody_holds_stays_as_it_is_whatever_he_made_of_it(memory: RefilledMemory) -> None:
    holds: list[Callable[[memoryview], Any]] = [
        lambda view: view,
        lambda view: view[5:10],
        lambda view: view.toreadonly().cast("H"),
        lambda view: np.frombuffer(view, np.uint8)[3::7],
        lambda view: np.frombuffer(view, np.float64).reshape(2, -1).T,
    ]
    held = []
    for number, hold in enumerate(holds):
        target = memory(SIZE)
        target.room(0)[:] = bytes([number]) * SIZE
        held.append(hold(target.view))
        del target
    for _ in range(5):
        memory(SIZE).room(0)[:] = b"\xff" * SIZE
    for number, kept in enumerate(held):
        assert set(bytes(kept)) == {number}
    assert len(memory) == len(holds) + 1


@on_a_loop
async def test_data_goes_where_it_fits_well_and_nowhere_else(memory: RefilledMemory) -> None:
    big = memory(SIZE + SIZE // WASTE)
    where = place(big.view)
    del big
    target = memory(SIZE)
    assert (place(target.view), target.view.nbytes) == (where, SIZE)
    del target
    assert place(memory(SIZE + SIZE // WASTE + 1).view) != where


@pytest.mark.parametrize("size", [1, SIZE_LEAST - 1, SIZE_MOST + 1])
def test_what_is_small_and_what_is_huge_is_not_kept(size: int) -> None:
    @on_a_loop
    async def test(memory: RefilledMemory) -> None:
        assert memory(size).view.nbytes == size
        assert len(memory) == 0

    test()


@on_a_loop
async def test_memory_is_given_back_when_it_was_not_in_use_at_two_looks(memory: RefilledMemory) -> None:
    target = memory(SIZE)
    for _ in range(3):
        memory.look()
    assert len(memory) == 1
    del target
    memory.look()
    target = memory(SIZE)  # since then it was
    memory.look()
    del target
    memory.look()
    assert len(memory) == 1
    memory.look()
    assert len(memory) == 0


def test_it_is_looked_for_by_itself_as_long_as_there_is_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refilling, "SECONDS", 0.001)

    @on_a_loop
    async def test(memory: RefilledMemory) -> None:
        memory(SIZE)
        await soon(lambda: len(memory) == 0)
        assert memory._next_look is None

    test()


def test_what_a_pool_of_links_fetches_one_after_the_other_comes_to_the_same_memory(tmp_path: Path) -> None:
    contents = {"a": b"a" * SIZE, "b": b"b" * SIZE, "c": b"c" * SIZE}

    class Holder:
        def __init__(self, link: Connection) -> None:
            self.link = link
            link.start(self)

        def received(self, messages: list[GetData]) -> None:
            for message in messages:
                items = [DataItem(key, Payload(b"", (Frame(contents[key]),)), SIZE) for key in message.keys]
                self.link.send(Data(message.request, items, []))

        def lost(self, error: Exception | None) -> None:
            pass

    async def main() -> None:
        def accept(link: Connection) -> None:
            Holder(link)

        listener = await listen(
            f"unix://{tmp_path}/h.sock", token=TOKEN, incoming={Role.PEER: GetData}, on_connection=accept
        )
        memory = RefilledMemory(asyncio.get_running_loop())
        pool = PeerPool(TOKEN)
        pool.allocate = memory

        async def fetch(key: str) -> memoryview:
            [item], _ = await pool.fetch(listener.address, [key])
            [frame] = item.payload.frames
            assert isinstance(frame.buffer, memoryview)
            assert frame.buffer == contents[key]
            return frame.buffer

        first = await fetch("a")
        second = await fetch("b")
        assert first == contents["a"]
        where = place(second)
        del second
        gc.collect()
        assert place(await fetch("c")) == where
        assert len(memory) == 2
        assert first == contents["a"]
        memory.close()
        assert first == contents["a"]
        await pool.close()
        await listener.close()

    run("uvloop", main())
