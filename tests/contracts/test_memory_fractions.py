"""What is done about the memory of workers, by keyword."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.contracts.gates import inc
from tests.support.eventually import eventually


@pytest.mark.differs("memory fractions")
def test_a_worker_above_its_share_is_paused_and_others_get_its_tasks(api: Any, keywords: Any) -> None:
    fractions = {"memory_pause_fraction": 0.001, "memory_spill_fraction": False, "memory_terminate_fraction": False}
    with api.Client(**keywords(processes=True, n_workers=1, memory_limit="1GiB", **fractions)) as client:
        [address] = client.scheduler_info()["workers"]
        eventually(lambda: client.scheduler_info()["workers"][address]["status"] == "paused", "the worker is paused")
        future = client.submit(inc, 1)
        assert client.run(inc, 1) == {address: 2}
        assert future.status == "pending"


@pytest.mark.differs("bad input")
@pytest.mark.parametrize("name", ["target", "spill", "pause", "terminate"])
def test_a_share_that_is_none_is_refused(api: Any, keywords: Any, name: str) -> None:
    for value, error in ((1.5, ValueError), (0, ValueError), (-1, ValueError), ("70%", TypeError), (True, TypeError)):
        with pytest.raises(error, match=f"memory_{name}_fraction={value!r}.*or False"):
            api.LocalCluster(**keywords(**{f"memory_{name}_fraction": value}))


def hoard(dask_worker: Any, nbytes: int) -> None:
    """Have the worker's process take so much memory that no result accounts for."""
    dask_worker.hoarded = b"x" * nbytes


@pytest.mark.differs("memory fractions")
def test_a_worker_resumes_when_its_memory_is_free_again(api: Any, keywords: Any) -> None:
    options = {"memory_limit": "1GiB", "memory_pause_fraction": 0.4, "memory_spill_fraction": False}
    with api.Client(**keywords(processes=True, n_workers=1, **options)) as client:
        [address] = client.scheduler_info()["workers"]

        def status() -> str:
            return str(client.scheduler_info()["workers"][address]["status"])

        client.run(hoard, nbytes=500 << 20)
        eventually(lambda: status() == "paused", "the worker is paused")
        future = client.submit(inc, 1)
        client.run(hoard, nbytes=0)
        assert future.result() == 2
        assert status() == "running"


@pytest.mark.differs("memory fractions")
def test_results_are_spilled_when_the_process_takes_too_much(api: Any, keywords: Any) -> None:
    options = {"memory_limit": "1GiB", "memory_target_fraction": 0.3, "memory_spill_fraction": 0.4}
    with api.Client(**keywords(processes=True, n_workers=1, memory_pause_fraction=False, **options)) as client:
        futures = client.map(bytes, [900_000] * 40, pure=False)  # smaller than what is shared
        client.gather(client.map(len, futures))

        def spilled() -> int:
            [worker] = client.cluster._engine.view.workers
            return int(worker.spilled)

        assert spilled() == 0
        client.run(hoard, nbytes=450 << 20)
        eventually(lambda: spilled() > 0, "results are on disk")
        client.run(hoard, nbytes=0)
        assert [len(value) for value in client.gather(futures)] == [900_000] * 40


@pytest.mark.differs("memory fractions")
@pytest.mark.parametrize("terminate", [0.4, False])
def test_a_worker_above_the_last_share_is_ended_unless_that_is_turned_off(
    api: Any, keywords: Any, terminate: Any
) -> None:
    options = {"memory_limit": "1GiB", "memory_pause_fraction": False, "memory_spill_fraction": False}
    options["memory_terminate_fraction"] = terminate
    if terminate is False:
        options["memory_limit"] = "300MiB"
    with api.Client(**keywords(processes=True, n_workers=1, **options)) as client:
        before = client.submit(os.getpid, pure=False).result()
        client.run(hoard, nbytes=500 << 20, on_error="ignore")
        if terminate is False:
            assert client.submit(os.getpid, pure=False).result() == before
        else:
            eventually(lambda: client.submit(os.getpid, pure=False).result() != before, "another process is there")
