"""``LocalCluster``: whose cluster it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nbcluster import Client, KilledWorker, LocalCluster
from nbcluster.cluster import local
from nbcluster.engines.native import RemoteEngine
from nbcluster.errors import ClusterError, NotOurServerError


class _StrangersServer(RemoteEngine):
    """Attaching to it fails as it does at a server that did not start this kernel."""

    name = "somebody's"

    async def start(self) -> None:
        raise NotOurServerError("this server has no kernel of this id")


def test_a_kernel_that_the_server_does_not_know_gets_a_cluster_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "attach_to_server", lambda keywords: _StrangersServer(""))
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        assert not cluster.owned_by_server
        assert len(cluster.workers) == 1
        assert cluster.name != "somebody's"


def test_a_cluster_whose_processes_are_not_there_in_time_does_not_start_and_says_why() -> None:
    slow = "import asyncio\nasync def dask_setup(worker):\n    await asyncio.Event().wait()\n"
    with pytest.raises(
        ClusterError, match=r"Only 0/1 workers arrived after 0.5 s; death_timeout= |not ready within 0.5 s"
    ):
        LocalCluster(n_workers=1, preload=[slow], death_timeout="500ms", dashboard_address=None)


def _die(mark: str) -> None:
    with open(mark, "a") as file:
        file.write("x")
    os._exit(1)


def test_a_task_errs_when_more_workers_died_of_it_than_are_allowed(tmp_path: Path) -> None:
    keywords: dict[str, Any] = {"scheduler_kwargs": {"allowed_failures": 1}, "dashboard_address": None}
    with LocalCluster(n_workers=1, **keywords) as cluster, Client(cluster, set_as_default=False) as client:
        with pytest.raises(KilledWorker):
            client.submit(_die, str(tmp_path / "mark")).result(timeout=60)
        assert (tmp_path / "mark").read_text() == "xx"
