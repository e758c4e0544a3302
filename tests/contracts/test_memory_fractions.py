"""What is done about the memory of workers, by keyword."""

from __future__ import annotations

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
