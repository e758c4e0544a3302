"""A client of another host: its large data goes straight to a worker, and no byte of it through the scheduler."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbcluster import Client, LocalCluster
from nbcluster.client import delivering
from nbcluster.client.session import Session
from nbcluster.comm.blocking import BlockingLink
from nbcluster.comm.outlet import Outlet
from nbcluster.worker import deliveries
from tests.support.clusters import depot_of
from tests.support.eventually import eventually
from tests.support.kill import kill
from tests.support.open_files import shared_segments

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs memfd, and reads /proc")

MIB = 1 << 20
SIZES = [MIB // 4, 2 * MIB]
"""Elements of an array that lies in an arena, and of one that has a segment to itself."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    gc.collect()
    before = shared_segments()
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.2") as cluster:
        yield cluster
        eventually(lambda: depot_of(cluster).segments == 0, "what is kept to be filled again is not kept for long")
    gc.collect()
    assert shared_segments() == before


@pytest.fixture
def far(cluster: LocalCluster, elsewhere: None) -> Iterator[Client]:
    """A client that sees nothing of this host's memory; nothing is left of what it delivers."""
    with Client(cluster.scheduler_address) as client:
        assert client._session.shared is None
        yield client
        gc.collect()
        depot = depot_of(cluster)
        eventually(lambda: (len(depot), depot.nbytes) == (0, 0), repr(depot))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Session._share_memory
    monkeypatch.setattr(Session, "_share_memory", lambda self, where: look(self, Path("/nowhere") / where.name))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what the links of this process write: those of the scheduler, and the client's to it."""
    sizes: list[int] = []
    write = Outlet.write

    def counted(self: Outlet, buffers: list[Any]) -> None:
        sizes.extend(len(buffer) for buffer in buffers)
        write(self, buffers)

    monkeypatch.setattr(Outlet, "write", counted)
    return sizes


def delivered_by(client: Client) -> int:
    way = client._session._deliveries
    assert way is not None
    return way.delivered_bytes


@pytest.mark.parametrize("elements", SIZES)
def test_no_byte_of_scattered_data_and_arguments_passes_the_scheduler(
    far: Client, sent: list[int], elements: int
) -> None:
    array = np.arange(elements)
    total = int(array.sum())
    future = far.scatter(array)
    assert delivered_by(far) == array.nbytes
    assert [far.submit(np.sum, future, workers=[worker]).result() for worker in (0, 1)] == [total, total]
    assert far.submit(np.max, array).result() == elements - 1
    assert far.gather(far.map(lambda i, x: int(x[i]), range(10), x=array)) == list(range(10))
    assert delivered_by(far) == 3 * array.nbytes, "once for each call, however many tasks it has"
    assert sum(sent) < MIB // 4
    assert (future.result() == array).all()


def test_data_for_all_workers_is_delivered_once(far: Client, cluster: LocalCluster, sent: list[int]) -> None:
    array = np.arange(SIZES[1])
    future = far.scatter(array, broadcast=True)
    eventually(lambda: len(far.who_has([future])[future.key]) == 2)
    assert delivered_by(far) == array.nbytes == depot_of(cluster).nbytes
    assert sum(sent) < MIB // 4


def test_data_is_named_by_its_content_however_it_travels(cluster: LocalCluster, far: Client) -> None:
    array = np.arange(3 * MIB)
    with Client(cluster) as near:
        near._session.shared = None  # through the scheduler
        assert far.scatter(array).key == near.scatter(array).key
        assert far.submit(np.sum, array).key == near.submit(np.sum, array).key


def test_what_is_delivered_may_be_changed_at_once_and_tasks_change_their_own(far: Client) -> None:
    def spoil(x: Any) -> int:
        x[0] = 5
        return int(x.sum())

    array = np.ones(SIZES[1], int)
    futures = [far.submit(spoil, array, pure=False) for _ in range(4)]
    array[:] = 9
    assert far.gather(futures) == [SIZES[1] + 4] * 4


def test_large_data_in_a_graph_is_delivered(far: Client, sent: list[int]) -> None:
    array = np.arange(SIZES[1])
    dsk = {"x": (np.sum, array), "y": (np.max, array), "z": (max, "x", "y")}
    assert far.get(dsk, "z") == array.sum()
    assert delivered_by(far) == array.nbytes
    assert sum(sent) < MIB // 4


def test_a_worker_that_dies_midway_is_followed_by_another(
    far: Client, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.arange(SIZES[1])
    far.scatter(array[:MIB])
    way = far._session._deliveries
    assert way is not None
    assert way._link is not None
    first = way._link.address
    pid = next(worker.pid for worker in cluster.workers.values() if worker.address == first)
    write = BlockingLink._write

    def fatal(self: BlockingLink, buffer: Any) -> None:
        if self.address == first and len(buffer) > MIB:
            write(self, memoryview(buffer).cast("B")[: 9 * MIB])
            kill(pid)
        write(self, buffer)

    monkeypatch.setattr(BlockingLink, "_write", fatal)
    future = far.scatter(array)
    assert way._link.address != first
    assert far.submit(np.sum, future).result() == array.sum()
    assert delivered_by(far) == array.nbytes + array[:MIB].nbytes
    eventually(lambda: sum(worker.status == "running" for worker in cluster.workers.values()) == 2)


def test_where_no_worker_can_be_reached_the_scheduler_passes_it_on_and_a_line_says_so(
    far: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unreachable(*args: Any) -> Any:
        raise OSError("no route to host")

    monkeypatch.setattr("nbcluster.comm.blocking._dial", unreachable)
    array = np.arange(SIZES[1])
    with caplog.at_level(logging.INFO, "nbcluster.client"):
        assert far.submit(np.sum, array).result() == array.sum()
        assert far.scatter(array).result().sum() == array.sum()
    assert delivered_by(far) == 0
    assert caplog.text.count("through the scheduler") == 1
    assert "no route to host" in caplog.text


def test_a_client_that_goes_midway_leaves_nothing(
    far: Client, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = BlockingLink._write

    def interrupted(self: BlockingLink, buffer: Any) -> None:
        if len(buffer) > MIB:
            write(self, memoryview(buffer).cast("B")[: 9 * MIB])
            raise KeyboardInterrupt
        write(self, buffer)

    with monkeypatch.context() as midway:
        midway.setattr(BlockingLink, "_write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            far.scatter(np.arange(SIZES[1]))
    depot = depot_of(cluster)
    assert len(depot) == 0, "no half data"
    assert far.scatter(np.arange(MIB)).result()[-1] == MIB - 1


@pytest.mark.parametrize("told", [False, True])
def test_what_the_scheduler_never_hears_of_is_given_back(
    far: Client, cluster: LocalCluster, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = far._session.share
    assert share is not None
    frame = share(memoryview(bytes(16 * MIB)), False)
    assert frame.shared is not None
    depot = depot_of(cluster)
    assert depot.nbytes == 16 * MIB
    if told:  # and the client dies before the message has left
        frame.shared.name()
        del frame
        gc.collect()
        assert depot.nbytes == 16 * MIB
        far.close()
    else:
        del frame
    gc.collect()
    eventually(lambda: depot.nbytes == 0, timeout=4 * deliveries.LAST_MESSAGES)


def test_a_cluster_that_closes_midway_is_a_clear_error(elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, host="127.0.0.2")
    with Client(cluster.scheduler_address) as client:
        write = BlockingLink._write

        def closing(self: BlockingLink, buffer: Any) -> None:
            if len(buffer) > MIB:
                write(self, memoryview(buffer).cast("B")[: 9 * MIB])
                cluster.close()
            write(self, buffer)

        monkeypatch.setattr(BlockingLink, "_write", closing)
        with pytest.raises(RuntimeError, match="no scheduler any more"):
            client.submit(np.sum, np.arange(SIZES[1]))


def test_threads_deliver_one_after_the_other(far: Client) -> None:
    arrays = [np.full(SIZES[1], value) for value in range(4)]
    sums: dict[int, int] = {}

    def work(value: int) -> None:
        sums[value] = far.submit(np.sum, arrays[value]).result()

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == {value: value * SIZES[1] for value in range(4)}
    assert delivered_by(far) == sum(array.nbytes for array in arrays)


def test_a_loop_does_not_wait_for_a_worker_so_its_data_takes_the_other_way(cluster: Any, elsewhere: None) -> None:
    async def main() -> None:
        async with Client(cluster.scheduler_address, asynchronous=True) as client:
            array = np.arange(SIZES[1])
            assert await client.submit(np.sum, array) == array.sum()
            future = await client.scatter(array)
            assert (await future)[-1] == SIZES[1] - 1
            assert delivered_by(client) == 0

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_scheduler_that_does_not_answer_in_time_is_not_waited_for(
    far: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def never(*args: Any) -> Any:
        await asyncio.Event().wait()

    way = far._session._deliveries
    assert way is not None
    monkeypatch.setattr(way, "_ask", never)
    monkeypatch.setattr(delivering, "PATIENCE", 0.05)
    assert far.submit(len, np.arange(SIZES[1])).result() == SIZES[1]
    assert "which workers take data" in caplog.text
