from __future__ import annotations

import asyncio
import errno
import gc
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbcluster.comm.peers import PeerPool
from nbcluster.comm.transports import connect, listen
from nbcluster.errors import CommError, SerializationError
from nbcluster.protocol.framing import Limits
from nbcluster.protocol.messages import DataItem, GetData, PeerReply
from nbcluster.protocol.serialize import dump, load
from nbcluster.store import segments
from nbcluster.store.depot import Depot
from nbcluster.store.depot_links import LocalDepotLink
from nbcluster.store.memory import Datum, MemoryStore
from nbcluster.store.shared import SharedStore
from nbcluster.types import Role
from nbcluster.worker import transfer
from nbcluster.worker.transfer import DataServer
from tests.support.eventually import soon
from tests.support.fake_connection import FakeConnection
from tests.support.links import DEADLINE, TOKEN, Recorder, run

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
            try:
                await test(store, fetch, server)
            finally:
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


class Slow(FakeConnection):
    """A link of which a test says how much it still holds."""

    held = 0

    @property
    def pending_bytes(self) -> int:
        return self.held


def test_a_server_is_sending_as_long_as_somebody_takes_what_was_sent() -> None:
    async def test() -> None:
        server, link, idle = DataServer(MemoryStore()), Slow(), Slow()
        server.accept(link)
        server.accept(idle)
        seen = []
        for link.held in (0, 300, 200, 200, 200, 100, 0, 0):
            seen.append(server.is_sending())
        assert seen == [False, True, True, False, False, True, False, False]
        await server.close()

    asyncio.run(test())


def test_a_server_is_not_sending_while_nobody_reads_nor_once_all_was_taken(tmp_path: Path) -> None:
    async def test() -> None:
        store = MemoryStore()
        store.put("x", Datum(np.zeros(4_000_000), 32_000_000))
        server = DataServer(store)
        listener = await listen(
            f"unix://{tmp_path}/w.sock", token=TOKEN, incoming={Role.PEER: GetData}, on_connection=server.accept
        )
        link = await connect(listener.address, token=TOKEN, role=Role.PEER, incoming=PeerReply, timeout=DEADLINE)
        try:
            assert not server.is_sending()
            link.send(GetData(1, ["x"]))
            await soon(server.is_sending)
            await soon(lambda: not server.is_sending())  # nobody reads
            answers = Recorder()
            link.start(answers)
            await answers.count(1)
            await soon(lambda: not server.is_sending())
        finally:
            await link.close()
            await listener.close()
            await server.close()

    run("uvloop", test())


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


@pytest.mark.parametrize("nbytes", [10, transfer.AT_ONCE + 1])
def test_an_error_that_nobody_expects_reaches_who_asked_and_the_log_and_nobody_else(
    serving: Any, nbytes: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dump = transfer._dump

    def fail(datum: Datum, share: object) -> Any:
        if datum.type_name == "bad":
            raise RuntimeError("a bug")
        return dump(datum, None)

    async def test(store: MemoryStore, fetch: Any, server: DataServer) -> None:
        store.put("bad", Datum(1, nbytes, "bad"))
        store.put("good", Datum(2, nbytes, "int"))
        if fetch.in_process:
            return  # the very objects are handed over
        items, missing = await asyncio.wait_for(fetch("bad", "good", "none"), DEADLINE / 4)
        assert load(items[1].payload) == 2
        assert missing == ["none"]
        with pytest.raises(SerializationError, match="cannot be had from its worker: RuntimeError: a bug"):
            load(items[0].payload)
        assert "Could not serve bad" in caplog.text

    monkeypatch.setattr(transfer, "_dump", fail)
    serving(test)


def test_an_error_while_what_was_pickled_is_put_away_reaches_who_asked(
    serving: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(store: MemoryStore, fetch: Any, server: DataServer) -> None:
        if fetch.in_process:
            return

        async def fail(*args: Any) -> Any:
            raise RuntimeError("a bug")

        monkeypatch.setattr(server, "_pickled", fail)
        store.put("x", Datum(1, transfer.AT_ONCE + 1, "int"))
        items, missing = await asyncio.wait_for(fetch("x", "none"), DEADLINE / 4)
        assert missing == ["none"]
        with pytest.raises(SerializationError, match="cannot be had from its worker: RuntimeError: a bug"):
            load(items[0].payload)
        assert "Could not serve x" in caplog.text

    serving(test)


def test_what_is_too_large_for_a_link_is_an_error_for_who_asks(tmp_path: Path) -> None:
    async def main() -> None:
        store = MemoryStore()
        server = DataServer(store)
        listener = await listen(
            f"unix://{tmp_path}/w.sock",
            token=TOKEN,
            incoming={Role.PEER: GetData},
            on_connection=server.accept,
            limits=Limits(buffer=2 * transfer.AT_ONCE),
        )
        pool = PeerPool(TOKEN)
        store.put("x", Datum(np.zeros(transfer.AT_ONCE), 8 * transfer.AT_ONCE))
        store.put("y", Datum(np.zeros(transfer.AT_ONCE // 8), transfer.AT_ONCE))
        items, _ = await asyncio.wait_for(pool.fetch(listener.address, ["x"]), DEADLINE / 4)
        with pytest.raises(SerializationError, match="too large"):
            load(items[0].payload)
        items, _ = await pool.fetch(listener.address, ["y"])
        assert len(load(items[0].payload)) == transfer.AT_ONCE // 8
        await pool.close()
        await listener.close()
        await server.close()

    run("uvloop", main())


# --- shared memory ---


class SharedServing:
    """A worker that shares with its peers, and what it told of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.depot = Depot()
        self.stores: list[SharedStore] = []
        self.data = MemoryStore()
        self.told: list[DataItem] = []
        self.shared = self.join()
        self.server = DataServer(self.data, self.shared, self.told.extend)
        self.pools: list[PeerPool] = []

    def join(self) -> SharedStore:
        self.stores.append(SharedStore(LocalDepotLink(self.depot)))
        return self.stores[-1]

    async def listen(self, kind: str) -> str:
        self.listener = await listen(
            f"unix://{self.directory}/w.sock" if kind == "unix" else "tcp://127.0.0.1:0",
            token=TOKEN,
            incoming={Role.PEER: GetData},
            on_connection=self.server.accept,
        )
        return self.listener.address

    def peer(self) -> PeerPool:
        self.pools.append(PeerPool(TOKEN))
        self.pools[-1].shared = self.join()
        return self.pools[-1]

    async def close(self) -> None:
        for pool in self.pools:
            await pool.close()
        await self.listener.close()
        await self.server.close()
        self.data.clear()
        self.told.clear()
        for store in self.stores:
            store.close()
        gc.collect()
        assert len(self.depot) == 0
        self.depot.close()


ARRAY = np.arange(2_000_000)


def sharing(kind: str, tmp_path: Path, test: Callable[[SharedServing, str], Awaitable[None]]) -> None:
    async def main() -> None:
        serving = SharedServing(tmp_path)
        address = await serving.listen(kind)
        await test(serving, address)
        await serving.close()

    run("uvloop", main())


def test_the_first_who_asks_has_a_result_moved_and_the_next_get_the_same(tmp_path: Path) -> None:
    async def test(serving: SharedServing, address: str) -> None:
        serving.data.put("x", Datum(ARRAY, ARRAY.nbytes, "ndarray"))
        for _ in range(3):
            items, _ = await serving.peer().fetch(address, ["x"])
            assert items[0].payload.is_shared
            assert (load(items[0].payload) == ARRAY).all()
        assert serving.shared.copied_bytes == serving.depot.nbytes == ARRAY.nbytes
        assert [(item.key, item.nbytes, item.type_name) for item in serving.told] == [("x", ARRAY.nbytes, "ndarray")]
        assert serving.data.nbytes == 0, "what is shared is not counted as this worker's"
        datum = serving.data.get("x")
        assert datum is not None
        assert (datum.load() == ARRAY).all()

    sharing("unix", tmp_path, test)


def test_many_who_ask_at_once_cost_one_copy(tmp_path: Path) -> None:
    async def test(serving: SharedServing, address: str) -> None:
        serving.data.put("x", Datum(ARRAY, ARRAY.nbytes))
        answers = await asyncio.gather(*(serving.peer().fetch(address, ["x"]) for _ in range(8)))
        assert all((load(items[0].payload) == ARRAY).all() for items, _ in answers)
        assert serving.shared.copied_bytes == serving.depot.nbytes == ARRAY.nbytes

    sharing("unix", tmp_path, test)


def test_a_result_that_was_used_here_since_is_not_copied_again(tmp_path: Path) -> None:
    async def test(serving: SharedServing, address: str) -> None:
        serving.data.put("x", Datum(ARRAY, ARRAY.nbytes))
        await serving.peer().fetch(address, ["x"])
        datum = serving.data.get("x")
        assert datum is not None
        datum.load()[0] = -1
        items, _ = await serving.peer().fetch(address, ["x"])
        assert load(items[0].payload)[0] == 0, "what a task writes into its input is its own"
        assert serving.shared.copied_bytes == ARRAY.nbytes

    sharing("unix", tmp_path, test)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_who_shares_no_memory_gets_the_bytes(kind: str, tmp_path: Path) -> None:
    async def test(serving: SharedServing, address: str) -> None:
        serving.data.put("x", Datum(ARRAY, ARRAY.nbytes))
        far = serving.peer()
        far.shared = None
        items, _ = await far.fetch(address, ["x"])
        assert not items[0].payload.is_shared
        assert (load(items[0].payload) == ARRAY).all()
        assert (serving.shared.copied_bytes, serving.told) == (0, [])
        await serving.peer().fetch(address, ["x"])
        assert serving.shared.copied_bytes == ARRAY.nbytes
        items, _ = await far.fetch(address, ["x"])
        assert not items[0].payload.is_shared, "also what is shared with others by now"
        assert (load(items[0].payload) == ARRAY).all()

    sharing(kind, tmp_path, test)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_who_shares_memory_gets_its_name_whichever_way_it_came(kind: str, tmp_path: Path) -> None:
    async def test(serving: SharedServing, address: str) -> None:
        serving.data.put("x", Datum(ARRAY, ARRAY.nbytes))
        items, _ = await serving.peer().fetch(address, ["x"])
        assert items[0].payload.is_shared
        assert (load(items[0].payload) == ARRAY).all()
        assert [item.key for item in serving.told] == ["x"]

    sharing(kind, tmp_path, test)


def test_small_results_are_sent_to_everybody(tmp_path: Path) -> None:
    async def test(serving: SharedServing, address: str) -> None:
        serving.data.put("x", Datum(ARRAY[:1000], 8000))
        items, _ = await serving.peer().fetch(address, ["x"])
        assert not items[0].payload.is_shared
        assert (serving.shared.copied_bytes, serving.told) == (0, [])

    sharing("unix", tmp_path, test)


def test_a_result_that_was_dropped_while_it_was_moved_does_not_come_back(tmp_path: Path) -> None:
    class Dropping:
        def __init__(self, data: MemoryStore) -> None:
            self.data = data

        def __reduce__(self) -> Any:
            self.data.drop("x")
            return np.ones, (1,), {"array": ARRAY}

    async def test(serving: SharedServing, address: str) -> None:
        serving.data.put("x", Datum([Dropping(serving.data)], ARRAY.nbytes))
        await serving.peer().fetch(address, ["x"])
        assert "x" not in serving.data

    sharing("unix", tmp_path, test)


def test_what_cannot_be_shared_is_sent_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(serving: SharedServing, address: str) -> None:
        def full(_: memoryview, look: object = None) -> int:
            raise OSError(errno.EMFILE, "no descriptor left")

        monkeypatch.setattr(segments, "sealed", full)
        serving.data.put("x", Datum(ARRAY, ARRAY.nbytes))
        items, _ = await serving.peer().fetch(address, ["x"])
        assert (load(items[0].payload) == ARRAY).all()
        assert serving.told == []

    sharing("unix", tmp_path, test)


def test_arenas_that_are_empty_are_given_back_when_the_worker_tidies(tmp_path: Path) -> None:
    async def test(serving: SharedServing, address: str) -> None:
        serving.data.put("x", Datum(ARRAY[:200_000], 1_600_000))
        items, _ = await serving.peer().fetch(address, ["x"])
        assert serving.depot.segments == 1
        del items
        serving.told.clear()
        serving.data.clear()

        def empty() -> bool:
            gc.collect()
            serving.server.tidy()
            return serving.depot.segments == 0

        await soon(empty)

    sharing("unix", tmp_path, test)
