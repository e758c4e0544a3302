"""Processes that die while they share memory: nothing of it is left, and nobody else is harmed."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbcluster import Client, LocalCluster
from nbcluster.cluster import shared_memory
from tests.support.clusters import depot_of
from tests.support.eventually import eventually
from tests.support.kill import kill
from tests.support.open_files import shared_segments

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs memfd, and reads /proc")

ROOT = Path(__file__).parent.parent.parent
MIB = 1 << 20
SIZES = [MIB // 4, 2 * MIB]
"""Elements of an array that lies in an arena, and of one that has a segment to itself."""


@pytest.fixture(autouse=True)
def nothing_is_left_here() -> Iterator[None]:
    gc.collect()
    before = shared_segments()
    yield
    gc.collect()
    assert shared_segments() == before


@pytest.fixture(autouse=True)
def the_last_messages_are_soon_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "LAST_MESSAGES", 0.1)


@pytest.mark.parametrize("elements", SIZES)
def test_a_worker_that_dies_takes_nothing_with_it_that_somebody_sees(cluster: LocalCluster, elements: int) -> None:
    depot = depot_of(cluster)
    with Client(cluster) as client:
        futures = [client.submit(np.full, elements, value, workers=[value % 2]) for value in range(6)]
        arrays = client.gather(futures)
        pids = {worker.pid for worker in cluster.workers.values()}
        for pid in pids:
            kill(pid)
        eventually(lambda: len(cluster.workers) == 2 and not pids & {w.pid for w in cluster.workers.values()})
        del futures
        for value in range(6):  # whatever the new workers share now
            client.submit(np.full, elements, 9, workers=[value % 2], pure=False).result()
        assert [(array == value).all() for value, array in enumerate(arrays)] == [True] * 6
        del arrays
        gc.collect()
        eventually(lambda: depot.nbytes == 0, repr(depot))


def test_workers_that_die_while_results_move_lose_none(cluster: LocalCluster) -> None:
    depot = depot_of(cluster)
    with Client(cluster) as client:
        for turn in range(3):
            futures = [client.submit(np.full, MIB // 4, value, pure=False) for value in range(8)]
            sums = [client.submit(np.sum, future, pure=False) for future in futures]
            client.gather(sums[:2])
            for worker in list(cluster.workers.values())[turn % 2 :]:
                kill(worker.pid)
            assert client.gather(sums) == [value * MIB // 4 for value in range(8)]
            assert [int(array[0]) for array in client.gather(futures)] == list(range(8))
        del futures, sums
        gc.collect()
        eventually(lambda: depot.nbytes == 0, repr(depot))


def hold(array: Any) -> int:
    """Keep it for as long as this process lives."""
    vars(np).setdefault("held", []).append(array)
    return os.getpid()


def test_memory_that_a_worker_saw_is_used_again_when_it_has_died_and_not_before(cluster: LocalCluster) -> None:
    depot = depot_of(cluster)
    with Client(cluster) as client:
        future = client.scatter(np.full(SIZES[1], 7))
        pid = client.submit(hold, future, workers=[0]).result()
        del future
        for value in range(3):
            assert client.submit(np.sum, client.scatter(np.full(SIZES[1], value))).result() == value * SIZES[1]
        check = client.submit(lambda: int((np.held[0] == 7).sum()), workers=[0], pure=False)  # type: ignore[attr-defined]
        assert check.result() == SIZES[1], "it is as it was"
        kill(pid)
        gc.collect()
        eventually(lambda: depot.nbytes == 0, repr(depot))
        before = depot.segments
        futures = [client.scatter(np.full(SIZES[1], value), hash=False) for value in range(before)]
        assert client.gather(client.map(np.sum, futures)) == [value * SIZES[1] for value in range(before)]
        assert depot.segments == before
        del futures


CLIENT = """
import sys
import numpy as np
from nbcluster import Client
client = Client(sys.argv[1])
kept = []
while True:
    array = np.ones(int(sys.argv[2]))
    kept = kept[-5:] + [client.scatter(array, hash=False), client.submit(np.negative, array, pure=False)]
    seen = kept[-1].result()
    print("shared", flush=True)
"""


@pytest.mark.parametrize("elements", SIZES)
def test_of_a_client_that_dies_while_it_shares_nothing_is_left(cluster: LocalCluster, elements: int) -> None:
    depot = depot_of(cluster)
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, cluster.scheduler_address, str(elements)], stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        for _ in range(4):
            assert process.stdout.readline() == b"shared\n"
        assert depot.nbytes
        process.kill()
    eventually(lambda: (len(depot), depot.segments) == (0, 0), repr(depot))


CLUSTER = """
import os
import numpy as np
from nbcluster import Client, SubprocessCluster
cluster = SubprocessCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
client = Client(cluster)
arrays = client.gather(client.map(np.ones, [300_000, 3_000_000]))
print(cluster._engine.pid, *(worker.pid for worker in cluster.workers.values()), flush=True)
input()
print(sum(array.sum() for array in arrays), flush=True)
arrays.clear()
try:
    client.submit(np.sum, np.ones(3_000_000)).result()
except Exception as error:
    print(type(error).__name__, flush=True)
print("memfd:nbcluster " in os.popen(f"cat /proc/{os.getpid()}/maps; ls -l /proc/{os.getpid()}/fd").read(), flush=True)
input()
"""


def test_when_the_cluster_dies_its_clients_keep_what_they_see_and_nothing_else() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 3
        kill(pids[0])
        for pid in pids:
            eventually(lambda pid=pid: not shared_segments(pid))  # type: ignore[misc]
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "3300000.0\n"
        assert process.stdout.readline() in ("ClosedClientError\n", "FutureCancelledError\n")
        assert process.stdout.readline() == "False\n"
        process.kill()


FEW_FILES = """
import resource, sys
import numpy as np
from nbcluster import Client, SubprocessCluster
from tests.support.open_files import open_files, shared_segments
with SubprocessCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
    client.submit(np.full, 200_000, 0, pure=False).result()
    room = open_files() + 10
    soft, hard = (int(word) if word != "room" else room for word in sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_NOFILE, (room if soft == room else soft, hard))
    arrays = [client.submit(np.full, 200_000, value).result() for value in range(40)]
    assert [array[5] for array in arrays] == list(range(40))
    arrays[0][:] = 1
    arrays.clear()
print("good", shared_segments())
"""


@pytest.mark.parametrize("hard", ["room", "2000"])
def test_a_client_that_may_open_few_files_sees_everything_all_the_same(hard: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FEW_FILES, "room", hard], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (0, "good []\n"), done.stderr
