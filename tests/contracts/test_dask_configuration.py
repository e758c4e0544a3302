"""What was set in dask's configuration before a cluster was made counts for its tasks."""

from __future__ import annotations

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
