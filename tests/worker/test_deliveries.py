from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nbcluster.comm.blocking import BlockingLink
from nbcluster.comm.transports import listen
from nbcluster.protocol.delivery import Deliver, Delivered, NotDelivered, SenderReply, SenderRequest, TakeBack
from nbcluster.protocol.payload import Frame
from nbcluster.store.depot import Depot
from nbcluster.store.depot_links import LocalDepotLink
from nbcluster.store.memory import MemoryStore
from nbcluster.store.shared import SharedStore
from nbcluster.types import Role
from nbcluster.worker import deliveries
from nbcluster.worker.transfer import DataServer
from tests.support.eventually import soon
from tests.support.links import TOKEN, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs memfd")

MIB = 1 << 20
SIZES = [100, 2 * MIB, 16 * MIB]


def served(
    directory: Path,
    test: Callable[[Callable[[], BlockingLink], SharedStore | None, Depot], Awaitable[None]],
    **options: Any,
) -> None:
    """Run a test with a worker's data server, and a way to connect to it as a sender."""

    async def main() -> None:
        depot = Depot()
        shared = SharedStore(LocalDepotLink(depot, direct=False)) if options.get("shares", True) else None
        server = DataServer(MemoryStore(), shared)
        listener = await listen(
            f"unix://{directory}/w.sock",
            token=TOKEN,
            incoming={Role.SENDER: SenderRequest},
            on_connection=server.accept,
        )

        def connect() -> BlockingLink:
            return BlockingLink(listener.address, role=Role.SENDER, token=TOKEN, incoming=SenderReply)

        try:
            await test(connect, shared, depot)
        finally:
            await listener.close()
            await server.close()
            if shared is not None:
                shared.close()
            depot.close()

    run("uvloop", main())


@pytest.mark.parametrize("nbytes", SIZES)
def test_what_is_delivered_is_published_and_seen(tmp_path: Path, nbytes: int) -> None:
    async def test(connect: Any, shared: Any, depot: Depot) -> None:
        link = await asyncio.to_thread(connect)
        data = bytes(range(100)) * (nbytes // 100)
        answer = await asyncio.to_thread(link.ask, Deliver(3, Frame(memoryview(data))))
        assert isinstance(answer, Delivered)
        assert answer.request == 3
        assert (len(depot), depot.nbytes) == (1, len(data))
        assert bytes(shared.open(answer.blob, len(data))) == data
        await asyncio.to_thread(link.tell, TakeBack([answer.blob]))
        await soon(lambda: gc.collect() >= 0 and depot.nbytes == 0)
        link.close()

    served(tmp_path, test)


def test_of_a_client_that_is_gone_nothing_is_kept_that_the_scheduler_has_not_read_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "LAST_MESSAGES", 0.01)

    async def test(connect: Any, shared: Any, depot: Depot) -> None:
        link = await asyncio.to_thread(connect)
        scheduler = depot.join()
        answers = [await asyncio.to_thread(link.ask, Deliver(n, Frame(memoryview(bytes(2 * MIB))))) for n in range(2)]
        assert depot.adopt(scheduler, answers[0].blob)
        link.abort()
        await soon(lambda: depot.nbytes == 2 * MIB)
        assert not depot.adopt(scheduler, answers[1].blob)
        depot.leave(scheduler)
        assert depot.nbytes == 0

    served(tmp_path, test)


def test_half_of_a_delivery_is_never_seen_and_leaves_nothing(tmp_path: Path) -> None:
    async def test(connect: Any, shared: Any, depot: Depot) -> None:
        link = await asyncio.to_thread(connect)
        link._encoder.add((Deliver(1, Frame(memoryview(bytes(16 * MIB)))),))
        prefix, body, data = link._encoder.take()
        for part in (prefix, body, memoryview(data)[: 9 * MIB]):
            await asyncio.to_thread(link._write, part)
        link.abort()
        again = await asyncio.to_thread(connect)
        assert isinstance(await asyncio.to_thread(again.ask, Deliver(2, Frame(memoryview(b"more")))), Delivered)
        assert depot.nbytes == 4
        assert depot.segments == 1
        again.abort()

    served(tmp_path, test)


def test_a_worker_that_shares_nothing_says_so(tmp_path: Path) -> None:
    async def test(connect: Any, shared: Any, depot: Depot) -> None:
        link = await asyncio.to_thread(connect)
        answer = await asyncio.to_thread(link.ask, Deliver(1, Frame(memoryview(bytes(16 * MIB)))))
        assert answer == NotDelivered(1, "this worker shares no memory with others")
        link.close()

    served(tmp_path, test, shares=False)


@pytest.mark.parametrize("error", [OSError("no memory"), RuntimeError("a bug")])
def test_whatever_goes_wrong_the_sender_hears_of_it(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(connect: Any, shared: Any, depot: Depot) -> None:
        def fail(*args: Any) -> Any:
            raise error

        monkeypatch.setattr(shared, "share", fail)
        link = await asyncio.to_thread(connect)
        answer = await asyncio.to_thread(link.ask, Deliver(1, Frame(memoryview(bytes(MIB)))))
        assert isinstance(answer, NotDelivered)
        assert str(error) in answer.reason
        assert len(depot) == 0
        link.close()

    with caplog.at_level(logging.WARNING):
        served(tmp_path, test)
    assert "Could not share" in caplog.text
