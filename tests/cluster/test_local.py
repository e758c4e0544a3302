"""``LocalCluster``: whose cluster it is."""

from __future__ import annotations

import pytest

from nbcluster import LocalCluster
from nbcluster.cluster import local
from nbcluster.engines.native import RemoteEngine
from nbcluster.errors import NotOurServerError


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
