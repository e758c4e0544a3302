"""A cluster as an object: its loop, its status, what it tells of itself, the older names of its methods."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.gates import inc
from tests.support.eventually import eventually

INFO = "cluster-manager-info"


def _asyncio_loop(cluster: Any) -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = getattr(cluster.loop, "asyncio_loop", cluster.loop)
    return loop


def test_a_synchronous_cluster_has_a_loop_in_the_background(cluster: Any) -> None:
    assert not cluster.asynchronous
    assert _asyncio_loop(cluster).is_running()


def test_an_asynchronous_cluster_is_on_the_loop_that_runs(api: Any, keywords: Any) -> None:
    async def main() -> None:
        async with api.LocalCluster(asynchronous=True, **keywords(n_workers=0)) as cluster:
            assert cluster.asynchronous
            assert _asyncio_loop(cluster) is asyncio.get_running_loop()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_its_status_is_one_of_status(api: Any, own: Any) -> None:
    cluster = own()
    assert cluster.status == api.Status.running
    cluster.close(timeout=10)
    assert cluster.status == api.Status.closed


@pytest.mark.parametrize(("arguments", "n"), [({"n": 3}, 3), ({"memory": "24 GiB"}, 3), ({"cores": 4}, 2)])
def test_scale_up_is_another_name_of_scale(own: Any, arguments: dict[str, Any], n: int) -> None:
    cluster = own(threads_per_worker=2, memory_limit="8 GiB")
    cluster.scale_up(**arguments)
    cluster.wait_for_workers(n)
    assert len(cluster.plan) == n


def test_what_cluster_it_is_is_written_in_the_schedulers_metadata_again_and_again(api: Any, own: Any) -> None:
    cluster = own(name="ada", scheduler_sync_interval="20ms")
    with api.Client(cluster, set_as_default=False) as client:
        info = eventually(lambda: client.get_metadata(INFO, default=None))
        assert info["name"] == "ada"
        assert info["type"].endswith("LocalCluster")
        client.set_metadata(INFO, {"name": "eve"})
        eventually(lambda: client.get_metadata(INFO) == info)


def test_what_cluster_it_is_stays_as_it_is_until_the_interval_is_over(api: Any, own: Any) -> None:
    cluster = own(scheduler_sync_interval="1 h")
    with api.Client(cluster, set_as_default=False) as client:
        eventually(lambda: client.get_metadata(INFO, default=None))
        client.set_metadata(INFO, {"name": "eve"})
        assert client.submit(inc, 1).result() == 2
        assert client.get_metadata(INFO) == {"name": "eve"}


def test_the_former_name_of_worker_client_still_works_with_a_warning(api: Any, client: Any) -> None:
    def total(n: int) -> int:
        with pytest.warns(UserWarning, match="worker_client"):
            block = api.local_client()
        with block as here:
            return int(sum(here.gather(here.map(inc, range(n)))))

    assert client.submit(total, 4).result() == 10


def test_a_worker_that_has_not_joined_yet_is_not_counted(api: Any, own: Any, tmp_path: Path) -> None:
    """What is preloaded keeps it from joining until the gate is open."""
    visited, gate = tmp_path / "visited", tmp_path / "gate"
    preload = f"""
import asyncio, os

async def dask_setup(worker):
    open({str(visited)!r}, "w").close()
    while not os.path.exists({str(gate)!r}):
        await asyncio.sleep(0.01)
"""
    cluster = own(n_workers=0, preload=[preload])
    with api.Client(cluster, set_as_default=False) as client:
        cluster.scale(1)
        eventually(visited.exists, "the worker is about to join")
        try:
            assert client.scheduler_info()["workers"] == {}
            assert client.nthreads() == client.ncores() == {}
        finally:
            gate.touch()
        client.wait_for_workers(1, timeout=30)
        assert list(client.scheduler_info()["workers"]) == list(client.nthreads()) != [""]
