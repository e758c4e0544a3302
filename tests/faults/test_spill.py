"""Memory that is too small and disks that lie: rows 24 and 25 of the table of faults, on a real cluster."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nbcluster import Client, Future, LocalCluster
from tests.support.eventually import eventually
from tests.support.kill import kill

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="memory is limited and workers are killed the Linux way"
)

MB = 1 << 20
LIMIT = 300 * MB
SIZE = 5 * MB


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=1, threads_per_worker=1, memory_limit=LIMIT, local_directory=tmp_path, dashboard_address=None
    ) as cluster:
        yield cluster
    assert list(tmp_path.iterdir()) == [], "nothing is left when the cluster is closed"


def make(number: int) -> bytes:
    return bytes([number]) * SIZE


def first(data: bytes) -> int:
    return data[0]


def files(tmp_path: Path) -> list[Path]:
    """Oldest first."""
    return sorted(tmp_path.glob("*/spill-*/*.spill"), key=lambda path: int(path.stem))


def fill(client: Client, count: int) -> list[Future]:
    futures = client.map(make, range(count))
    assert client.gather(client.map(len, futures)) == [SIZE] * count
    return futures


def test_results_of_three_times_the_memory_are_computed_used_and_gathered(
    cluster: LocalCluster, client: Client, tmp_path: Path
) -> None:
    (worker,) = cluster.workers.values()
    futures = fill(client, 3 * LIMIT // SIZE)
    assert len(files(tmp_path)) * SIZE > 2 * LIMIT
    assert client.gather(client.map(first, futures)) == list(range(len(futures)))
    for number in range(len(futures)):
        data = np.frombuffer(futures.pop(0).result(), "u1")
        assert (data == number).all()
        del data
    eventually(lambda: not files(tmp_path), "files of what nobody wants are removed")
    assert [one.pid for one in cluster.workers.values()] == [worker.pid], "the worker kept within its limit"


def test_what_was_damaged_on_disk_is_computed_again(client: Client, tmp_path: Path) -> None:
    futures = fill(client, 80)
    spilled = files(tmp_path)[:20]  # the last may be of use to nobody when they are written
    assert len(spilled) == 20
    for path in spilled[::2]:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x10
        path.write_bytes(data)
    for path in spilled[1::2]:
        path.write_bytes(path.read_bytes()[:1000])
    assert client.gather(client.map(first, futures[:30])) == list(range(30)), "tasks get what they need"
    assert [data[-1] for data in client.gather(futures)] == list(range(80)), "and so do clients"


def test_a_worker_that_is_killed_leaves_nothing_and_loses_nothing(
    cluster: LocalCluster, client: Client, tmp_path: Path
) -> None:
    futures = fill(client, 80)
    (worker,) = cluster.workers.values()
    left = tmp_path / "*" / f"spill-{worker.pid}"
    assert list(tmp_path.glob(f"*/{left.name}/*.spill"))
    kill(worker.pid)
    eventually(lambda: not list(tmp_path.glob(f"*/{left.name}")), "what it left is removed")
    assert client.gather(client.map(first, futures)) == list(range(80))


def test_results_that_were_shared_go_to_disk_as_well_when_they_are_too_many(
    cluster: LocalCluster, client: Client, tmp_path: Path
) -> None:
    depot = cluster._engine._runtime.depot  # type: ignore[attr-defined]
    futures = client.map(make, range(120))
    most = 0
    for number, future in enumerate(futures):  # each is shared, for the client looks at it; and then nobody does
        assert future.result()[0] == number
        most = max(most, depot.nbytes)
    assert most > LIMIT // 4
    eventually(lambda: depot.nbytes <= 0.85 * LIMIT + SIZE, repr(depot))
    assert files(tmp_path)
    assert client.gather(client.map(first, futures)) == list(range(120))
    assert [data[0] for data in client.gather(futures)] == list(range(120))
    assert next(iter(cluster.workers.values())).restarts == 0
    del futures, future
    gc.collect()
    eventually(lambda: depot.nbytes == 0, repr(depot))
    eventually(lambda: not files(tmp_path))
