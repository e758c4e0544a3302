from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbcluster.comm.peers import PeerPool
from nbcluster.comm.transports import listen
from nbcluster.errors import CommError, SerializationError
from nbcluster.protocol.messages import DataItem, GetData
from nbcluster.protocol.serialize import dump, load
from nbcluster.store.memory import Datum, MemoryStore
from nbcluster.types import Role
from nbcluster.worker import transfer
from nbcluster.worker.transfer import DataServer
from tests.support.links import DEADLINE, TOKEN, run

Fetch = Callable[..., Awaitable[tuple[list[DataItem], list[str]]]]


@pytest.fixture(params=["inproc", "unix"])
def serving(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Runs a coroutine function with a store, and a way to fetch from it."""

    def run_test(test: Callable[[MemoryStore, Fetch, DataServer], Awaitable[None]]) -> None:
        async def main() -> None:
            store = MemoryStore()
            server = DataServer(store)
            listener = await listen(
                "inproc://" if request.param == "inproc" else f"unix://{tmp_path}/w.sock",
                token=TOKEN,
                incoming={Role.PEER: GetData},
                on_connection=server.accept,
            )
            pool = PeerPool(TOKEN)

            async def fetch(*keys: str) -> tuple[list[DataItem], list[str]]:
                return await pool.fetch(listener.address, list(keys))

            fetch.in_process = request.param == "inproc"  # type: ignore[attr-defined]
            await test(store, fetch, server)
            await pool.close()
            await listener.close()
            await server.close()

        run("uvloop", main())

    return run_test


def test_a_live_result_is_served_with_what_is_known_of_it(serving: Any) -> None:
    async def test(store: MemoryStore, fetch: Any, server: DataServer) -> None:
        value = [1, 2]
        store.put("x", Datum(value, 72, "list"))
        items, missing = await fetch("x", "y")
        assert [(item.key, item.nbytes, item.type_name) for item in items] == [("x", 72, "list")]
        assert load(items[0].payload) == value
        assert (load(items[0].payload) is value) == fetch.in_process
        assert missing == ["y"]

    serving(test)


def test_what_arrived_pickled_is_passed_on(serving: Any) -> None:
    async def test(store: MemoryStore, fetch: Any, server: DataServer) -> None:
        store.put("x", Datum.pickled(dump("text"), 53, "str"))
        items, _ = await fetch("x")
        assert load(items[0].payload) == "text"

    serving(test)


def test_a_large_array_arrives_whole_and_writable(serving: Any) -> None:
    async def test(store: MemoryStore, fetch: Any, server: DataServer) -> None:
        array = np.arange(1_000_000)
        store.put("x", Datum(array, array.nbytes))
        items, _ = await fetch("x")
        copy = load(items[0].payload)
        assert (copy == array).all()
        assert copy.flags.writeable

    serving(test)


def test_large_objects_are_pickled_beside_the_loop(serving: Any) -> None:
    class Large:
        def __reduce__(self) -> Any:
            return str, (threading.current_thread().name,)

    async def test(store: MemoryStore, fetch: Any, server: DataServer) -> None:
        store.put("large", Datum(Large(), transfer.AT_ONCE + 1))
        store.put("small", Datum(Large(), 100))
        large, _ = await fetch("large")
        small, _ = await fetch("small")
        if not fetch.in_process:
            assert load(large[0].payload).startswith("nbcluster-pickle")
            assert load(small[0].payload) == threading.current_thread().name

    serving(test)


def test_what_cannot_be_pickled_is_an_error_for_who_asks_and_not_for_the_others(serving: Any) -> None:
    async def test(store: MemoryStore, fetch: Any, server: DataServer) -> None:
        store.put("bad", Datum({"lock": threading.Lock()}, 100))
        store.put("good", Datum(1, 28))
        items, missing = await fetch("bad", "good")
        assert missing == []
        assert load(items[1].payload) == 1
        if not fetch.in_process:
            with pytest.raises(SerializationError) as caught:
                load(items[0].payload)
            assert caught.value.path == "result['lock']"

    serving(test)


def test_closing_ends_what_is_being_pickled(serving: Any) -> None:
    pickling, go_on = threading.Event(), threading.Event()

    class Slow:
        def __reduce__(self) -> Any:
            pickling.set()
            go_on.wait(DEADLINE)
            return int, ()

    async def test(store: MemoryStore, fetch: Any, server: DataServer) -> None:
        if fetch.in_process:
            return
        store.put("slow", Datum(Slow(), transfer.AT_ONCE + 1))
        asked = asyncio.ensure_future(fetch("slow"))
        await asyncio.to_thread(pickling.wait, DEADLINE)
        await server.close()
        with pytest.raises(CommError):
            await asked
        go_on.set()

    serving(test)
