"""``SubprocessCluster``: its keywords, each by what it does."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.conftest import PEER
from tests.support.eventually import eventually


@pytest.fixture
def quiet(package: str) -> dict[str, Any]:
    """Keywords of a cluster without a dashboard that anybody else could reach."""
    if package == PEER:
        return {"dashboard_address": "127.0.0.1:0", "worker_kwargs": {"dashboard_address": "127.0.0.1:0"}}
    return {"dashboard_address": None, "worker_kwargs": {}}


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens at just now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def test_scheduler_and_workers_are_where_and_how_they_were_wanted(
    api: Any, quiet: dict[str, Any], free_port: int, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "ada_preload.py").write_text(f"def dask_setup(scheduler):\n    open({str(mark)!r}, 'w').close()\n")
    quiet["worker_kwargs"] |= {"resources": {"GPU": 1}, "memory_limit": 2**30}
    with (
        api.SubprocessCluster(
            host="127.0.0.1",
            scheduler_port=free_port,
            scheduler_kwargs={"dashboard": False, "preload": [str(tmp_path / "ada_preload.py")]},
            worker_class=f"{api.__name__}.Nanny",
            n_workers=1,
            threads_per_worker=2,
            silence_logs=logging.ERROR,
            **quiet,
        ) as cluster,
        api.Client(cluster, set_as_default=False) as client,
    ):
        assert cluster.scheduler_address == f"tcp://127.0.0.1:{free_port}"
        assert mark.exists()
        client.wait_for_workers(1)
        [worker] = eventually(lambda: list(client.scheduler_info()["workers"].values()))
        assert (worker["nthreads"], worker["memory_limit"], worker["resources"]) == (2, 2**30, {"GPU": 1})
        pids = {client.run_on_scheduler(os.getpid), *client.run(os.getpid).values()}
        assert len(pids) == 2
        assert os.getpid() not in pids
