"""What was set in dask's configuration before a cluster was made counts for its tasks, and for the cluster itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import dask
import pytest

from tests.contracts.by_hand import quiet, run


@pytest.mark.parametrize("processes", [True, False])
def test_what_is_configured_here_counts_in_tasks(
    api: Any, keywords: Callable[..., dict[str, Any]], processes: bool
) -> None:
    with (
        dask.config.set({"mine": {"answer": 42, "names": ["a", "b"]}, "array.chunk-size": "7 MiB"}),
        api.Client(**keywords(n_workers=1, processes=processes)) as client,
    ):
        names = ["mine.answer", "mine.names", "array.chunk-size", "array.slicing.split-large-chunks"]
        found = client.gather(client.map(dask.config.get, names))
        assert found == [42, ["a", "b"], "7 MiB", dask.config.get("array.slicing.split-large-chunks")]


def test_the_worker_of_a_nanny_knows_it_too(api: Any) -> None:
    async def main() -> None:
        async with (
            api.Scheduler(port=0, **quiet(api)) as scheduler,
            api.Nanny(scheduler.address, nthreads=1),
            api.Client(scheduler.address, asynchronous=True) as client,
        ):
            assert await client.submit(dask.config.get, "mine") == 42

    with dask.config.set({"mine": 42}):
        run(main)


ADDRESS = "tcp://127.0.0.1:9"
"""Where nobody listens."""


def here(number: int) -> int:
    return number


def test_what_workers_offer_can_be_set(api: Any, keywords: Callable[..., dict[str, Any]]) -> None:
    with (
        dask.config.set({"distributed.worker.resources": {"GPU": 2}}),
        api.Client(**keywords(n_workers=1)) as client,
    ):
        assert client.submit(here, 1, resources={"GPU": 2}).result() == 1
        impossible = client.submit(here, 2, resources={"GPU": 3})
        assert client.submit(here, 3).result() == 3
        assert impossible.status == "pending"


def test_a_keyword_goes_before_what_is_set(api: Any, keywords: Callable[..., dict[str, Any]]) -> None:
    with (
        dask.config.set({"distributed.worker.resources": {"GPU": 2}}),
        api.Client(**keywords(n_workers=1, resources={"GPU": 3})) as client,
    ):
        assert client.submit(here, 2, resources={"GPU": 3}).result() == 2


def test_how_many_deaths_are_allowed_can_be_set(api: Any, keywords: Callable[..., dict[str, Any]]) -> None:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 9}),
        api.Client(**keywords(n_workers=1)) as client,
    ):
        assert client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.allowed_failures) == 9


def test_variables_of_workers_can_be_set(api: Any, keywords: Callable[..., dict[str, Any]]) -> None:
    with (
        dask.config.set({"distributed.nanny.environ": {"OF_SETTINGS": "1", "OF_BOTH": "1"}}),
        api.Client(**keywords(n_workers=1, processes=True, env={"OF_BOTH": "2"})) as client,
    ):
        assert client.submit(os.getenv, "OF_SETTINGS").result() == "1"
        assert client.submit(os.getenv, "OF_BOTH").result() == "2"


def test_how_a_cluster_adapts_can_be_set(api: Any, own: Callable[..., Any]) -> None:
    settings = {"interval": "250 ms", "wait-count": 7, "target-duration": "1 hour"}
    with dask.config.set({"distributed.adaptive": settings}):
        adaptive = own().adapt(minimum=1, maximum=1)
    assert (adaptive.interval, adaptive.wait_count, adaptive.target_duration) == (0.25, 7, 3600)


def test_limits_that_are_set_are_those_of_an_adaptive_that_is_given_none(api: Any, own: Callable[..., Any]) -> None:
    cluster = own()
    with dask.config.set({"distributed.adaptive.minimum": 1, "distributed.adaptive.maximum": 2}):
        adaptive = cluster.adapt()
        assert (adaptive.minimum, adaptive.maximum) == (0, float("inf"))
        adaptive.stop()
        adaptive = api.Adaptive(cluster)
        assert (adaptive.minimum, adaptive.maximum) == (1, 2)
        adaptive.stop()


@pytest.mark.parametrize("timeout", [{}, {"timeout": "200 ms"}])
def test_how_long_a_client_waits_can_be_set(api: Any, timeout: dict[str, str]) -> None:
    limit = "200 ms" if not timeout else "100 s"
    with dask.config.set({"distributed.comm.timeouts.connect": limit}), pytest.raises(OSError, match=ADDRESS):
        api.Client(ADDRESS, **timeout)
