"""Large data on a real cluster: what is copied, who holds it, and that nothing is left of it."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest

from nbcluster import Client, LocalCluster, SubprocessCluster
from nbcluster.client import session
from nbcluster.client.session import Session
from nbcluster.comm.outlet import Outlet
from nbcluster.store import kept, segments
from nbcluster.store.depot import Depot
from nbcluster.store.shared import SharedStore
from tests.support.clusters import depot_of
from tests.support.eventually import eventually
from tests.support.kill import kill
from tests.support.open_files import shared_segments

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs memfd, and reads /proc")

MIB = 1 << 20
SIZE = 2 * MIB
"""Elements of a large array: 16 MiB."""

Clusters = Callable[[], AbstractContextManager[Any]]
CLUSTERS: dict[str, Clusters] = {
    "local": lambda: LocalCluster(n_workers=4, threads_per_worker=1, dashboard_address=None),
    "subprocess": lambda: SubprocessCluster(n_workers=2, threads_per_worker=1, dashboard_address=None),
}


@pytest.fixture(scope="module", params=sorted(CLUSTERS))
def cluster(request: pytest.FixtureRequest) -> Iterator[Any]:
    gc.collect()
    before = shared_segments()
    with CLUSTERS[request.param]() as cluster:
        yield cluster
    gc.collect()
    assert shared_segments() == before


@pytest.fixture
def client(cluster: Any) -> Iterator[Client]:
    """A client; what it leaves in the cluster's shared memory is nothing."""
    with Client(cluster) as client:
        yield client
        gc.collect()
        if not isinstance(cluster, SubprocessCluster):
            depot = depot_of(cluster)
            eventually(lambda: (len(depot), depot.nbytes) == (0, 0), repr(depot))
    # What it keeps for a while to use it again it keeps no longer than it is there itself.
    if isinstance(cluster, SubprocessCluster):
        engine: Any = cluster._engine
        eventually(lambda: not shared_segments(engine.pid))
    else:
        eventually(lambda: depot.segments == 0, repr(depot))


@pytest.fixture(scope="module")
def local() -> Iterator[LocalCluster]:
    with CLUSTERS["local"]() as cluster:
        yield cluster


@pytest.fixture
def near(local: LocalCluster) -> Iterator[Client]:
    depot = depot_of(local)
    eventually(lambda: (len(depot), depot.segments) == (0, 0), repr(depot))  # the last test's are gone
    with Client(local) as client:
        yield client
        gc.collect()


@pytest.fixture
def depot(local: LocalCluster) -> Depot:
    return depot_of(local)


def shared_by(client: Client) -> SharedStore:
    store = client._session.shared
    assert store is not None
    return store


# --- round trips ---


def frames_equal(a: Any, b: Any) -> bool:
    pd.testing.assert_frame_equal(a, b)
    return True


ROWS = MIB // 4
TABLE = pd.DataFrame(
    {"a": np.arange(ROWS), "b": np.arange(ROWS) / 3, "c": pd.date_range("2026", periods=ROWS, freq="s")}
)
"""Pandas pickles one of its columns in the band."""

VALUES: dict[str, tuple[Any, Callable[[Any, Any], bool]]] = {
    "array": (np.arange(SIZE), lambda a, b: bool((a == b).all())),
    "two-dimensional": (np.ones((2000, 1000), order="F"), lambda a, b: bool((a == b).all()) and a.shape == b.shape),
    "small": (np.arange(SIZE // 16), lambda a, b: bool((a == b).all())),
    "bytes": (b"x" * 9 * MIB, lambda a, b: a == b),
    "bytearray": (bytearray(b"y" * 2 * MIB), lambda a, b: a == b and type(a) is type(b)),
    "table": (TABLE, frames_equal),
    "list": ([np.arange(MIB), {"deep": np.zeros(MIB)}], lambda a, b: bool((a[1]["deep"] == b[1]["deep"]).all())),
}
if importlib.util.find_spec("pyarrow"):
    import pyarrow  # type: ignore[import-untyped]

    VALUES["arrow"] = (pyarrow.table({"a": np.arange(MIB)}), lambda a, b: a.equals(b))


@pytest.mark.parametrize("kind", VALUES)
def test_data_comes_back_as_it_went_without_a_warning(client: Client, kind: str) -> None:
    value, same = VALUES[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(client.submit(lambda x: x, value, pure=False).result(), value)
        [future] = client.scatter([value])
        assert same(future.result(), value)
        assert same(client.submit(lambda x: x, future, pure=False).result(), value)
        assert all(same(result, value) for result in client.gather(client.map(lambda i, x: x, range(3), x=value)))


@pytest.mark.parametrize("elements", [SIZE // 16, SIZE])
def test_arrays_are_writable_and_nobody_sees_what_is_written(client: Client, elements: int) -> None:
    future = client.submit(np.zeros, elements)
    mine = future.result()
    mine[:] = 1

    def spoil(array: Any) -> float:
        array += 1
        return float(array.sum())

    assert client.gather([client.submit(spoil, mine, pure=False) for _ in range(3)]) == [2.0 * elements] * 3
    assert (mine == 1).all()
    assert (future.result() == 0).all()
    scattered = client.scatter(mine)
    mine[:] = 5
    assert (scattered.result() == 1).all()


@pytest.mark.parametrize("elements", [SIZE // 16, SIZE])
def test_an_array_outlives_its_future_and_all_that_is_shared_afterwards(client: Client, elements: int) -> None:
    kept = client.submit(np.full, elements, 7).result()
    for value in range(6):
        client.gather([client.submit(np.full, elements, value, pure=False) for _ in range(4)])
    assert (kept == 7).all()


def test_an_array_outlives_its_client(cluster: Any) -> None:
    with Client(cluster) as client:
        kept = client.submit(np.full, SIZE, 7).result()
    assert (kept == 7).all()
    kept += 1
    del kept
    gc.collect()


# --- what is copied ---


def test_a_result_is_copied_once_for_all_who_ask(near: Client, depot: Depot) -> None:
    future = near.submit(np.ones, SIZE)
    results = [future.result() for _ in range(3)]
    assert depot.nbytes == results[0].nbytes
    sums = [near.submit(np.sum, future, workers=[worker], pure=False) for worker in range(4)]
    assert near.gather(sums) == [SIZE] * 4
    assert depot.nbytes == results[0].nbytes
    assert shared_by(near).copied_bytes == 0
    del future, sums
    assert depot.nbytes == results[0].nbytes, "the arrays are still there"
    results.clear()
    gc.collect()
    eventually(lambda: depot.nbytes == 0)


def test_all_workers_may_ask_at_once(near: Client, depot: Depot) -> None:
    future = near.submit(np.ones, SIZE, workers=[0])
    sums = [near.submit(lambda i, x: float(x.sum()), i, future, workers=[i % 4], pure=False) for i in range(16)]
    assert near.gather(sums) == [float(SIZE)] * 16
    assert depot.nbytes == 8 * SIZE


def test_scattering_to_all_workers_is_one_copy(near: Client, depot: Depot) -> None:
    array = np.ones(SIZE)
    future = near.scatter(array, broadcast=True)
    assert (len(depot), depot.nbytes) == (1, array.nbytes)
    sums = [near.submit(np.sum, future, workers=[worker], pure=False) for worker in range(4)]
    assert near.gather(sums) == [SIZE] * 4
    assert (len(depot), depot.nbytes) == (1, array.nbytes)
    assert shared_by(near).copied_bytes == array.nbytes


def test_data_is_scattered_again_and_again_into_the_same_memory(client: Client, cluster: Any) -> None:
    kept = client.scatter(np.full(SIZE, 99), broadcast=True).result()
    name = None
    for value in range(5):
        future = client.scatter(np.full(SIZE, value), broadcast=True)
        workers = list(cluster.workers)
        sums = [client.submit(np.sum, future, workers=[worker], pure=False) for worker in workers]
        assert client.gather(sums) == [value * SIZE] * len(workers)
        seen = future.result()
        assert (seen == value).all()
        name, before = mapped_from(seen), name
        if before is not None:
            assert name == before
        del future, sums, seen
        gc.collect()
        shared_by(client)._link.flush()
        wait_until_unused(client)
    assert (kept == 99).all()


def mapped_from(array: Any) -> str:
    """Which file an array's memory is."""
    address = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, stop = (int(part, 16) for part in line.split()[0].split("-"))
        if start <= address < stop:
            return line.split()[4]
    raise AssertionError(f"{array!r} is nowhere")


def wait_until_unused(client: Client) -> None:
    """Until the client may fill one of its segments again."""
    store = shared_by(client)

    def unused() -> bool:
        store.tidy()
        return bool(store._kept._unused)

    eventually(unused)


def test_memory_that_a_client_keeps_for_its_next_data_is_given_back_soon(
    near: Client, depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "SECONDS", 0.1)
    monkeypatch.setattr(session, "TIDY_PAUSE", 0.05)
    future = near.scatter(np.ones(SIZE))
    assert near.submit(np.sum, future).result() == SIZE
    assert depot.segments == 1
    del future
    gc.collect()
    eventually(lambda: (depot.nbytes, depot.segments) == (0, 0), repr(depot))


def test_a_large_argument_of_many_tasks_is_one_copy(near: Client, depot: Depot) -> None:
    array = np.ones(SIZE)
    futures = near.map(lambda i, x: i + float(x.sum()), range(20), x=array)
    assert near.gather(futures) == [i + SIZE for i in range(20)]
    assert shared_by(near).copied_bytes == array.nbytes
    array[0] = 2
    assert near.submit(np.sum, array).result() == SIZE + 1


def test_the_memory_of_many_small_arguments_is_given_back(near: Client, depot: Depot) -> None:
    near.gather([near.submit(np.sum, np.full(SIZE // 16, i)) for i in range(60)])
    gc.collect()
    eventually(lambda: (depot.nbytes, depot.segments) == (0, 0), repr(depot))


# --- who goes ---


def test_a_result_that_was_fetched_once_survives_its_worker(client: Client, cluster: Any) -> None:
    def compute() -> Any:
        import os

        return np.full(SIZE, os.getpid())

    future = client.submit(compute, pure=False)
    first = future.result()
    kill(int(first[0]))
    eventually(lambda: all(worker.pid != first[0] for worker in cluster.workers.values()))
    assert (future.result() == first).all()
    assert client.submit(lambda x: int(x[5]), future).result() == first[0]
    eventually(lambda: sum(worker.status == "running" for worker in cluster.workers.values()) >= 2)


def test_one_that_was_not_is_computed_again(client: Client, cluster: Any) -> None:
    future = client.submit(np.ones, SIZE)
    client.submit(len, future).result()
    for worker in list(cluster.workers.values()):
        kill(worker.pid)
    assert future.result().sum() == SIZE


# --- other ways in ---


def test_a_client_of_another_host_gets_the_same_by_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(Session, "_share_memory", lambda self, where: None)  # it finds no socket there
            far = Client(cluster.scheduler_address)
        with far, Client(cluster) as near:
            assert far._session.shared is None
            array = np.arange(SIZE)
            assert (far.submit(lambda x: x + 1, array).result() == array + 1).all()
            [future] = far.scatter([array])
            assert (future.result() == array).all()
            shared = near.submit(np.negative, array)
            assert (shared.result() == -array).all()
            assert (far.submit(np.negative, array).result() == -array).all(), "what is in shared memory is sent"
            assert shared_by(near).copied_bytes == array.nbytes


def test_an_asynchronous_client_on_the_clusters_own_loop_waits_for_nothing_that_waits_for_it() -> None:
    async def main() -> None:
        async with (
            LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, asynchronous=True) as cluster,
            Client(cluster, asynchronous=True) as client,
        ):
            array = np.arange(SIZE)
            assert (await client.submit(lambda x: x * 2, array) == array * 2).all()
            future = await client.scatter(array)
            assert (await client.gather([future, client.submit(np.ones, SIZE)]))[1].sum() == SIZE
        async with (
            LocalCluster(
                n_workers=1, threads_per_worker=1, dashboard_address=None, asynchronous=True, protocol="tcp"
            ) as cluster,
            Client(cluster.scheduler_address, asynchronous=True) as client,
        ):
            assert (await client.submit(lambda x: x * 2, array) == array * 2).all()

    asyncio.run(asyncio.wait_for(main(), 60))


def test_where_the_kernel_shares_no_memory_everything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "AVAILABLE", False)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        assert client._session.shared is None
        array = np.arange(SIZE)
        futures = [client.submit(lambda i, x: x + i, i, array, workers=[i]) for i in range(2)]
        assert client.submit(lambda a, b: int((b - a).sum()), *futures).result() == SIZE
        assert (futures[0].result() == array).all()


def test_the_processes_of_an_encrypted_cluster_share_memory_on_their_host(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    write = Outlet.write

    def counted(self: Outlet, buffers: list[Any]) -> None:
        sent.extend(len(buffer) for buffer in buffers)
        write(self, buffers)

    monkeypatch.setattr(Outlet, "write", counted)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, security=True) as cluster:
        assert {worker.address[:6] for worker in cluster.workers.values()} == {"tls://"}
        depot = depot_of(cluster)
        with Client(cluster) as client, Client(cluster.scheduler_address, security=cluster.security) as another:
            assert another._session.connection.peer_address.startswith("tls://")
            array = np.arange(SIZE)
            future = client.scatter(array, broadcast=True)
            sums = [client.submit(np.sum, future, workers=[worker]) for worker in (0, 1)]
            assert client.gather(sums) == [array.sum()] * 2
            assert another.submit(np.max, array).result() == SIZE - 1
            result = client.submit(np.ones, SIZE, workers=[0])
            assert client.submit(np.sum, result, workers=[1]).result() == SIZE
            seen = another.submit(np.ones, SIZE, workers=[0]).result()
            assert seen.sum() == SIZE
            assert shared_by(client).copied_bytes == shared_by(another).copied_bytes == array.nbytes
            eventually(lambda: depot.nbytes == 2 * array.nbytes, "what was scattered, and what was computed")
        assert sum(sent) < MIB // 2, "names are sent, and nothing large"
        del seen, future, sums, result
        gc.collect()
        eventually(lambda: depot.nbytes == 0, repr(depot))
