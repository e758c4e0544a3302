"""What tests begin with that run a whole cluster and ask for no other one."""

from __future__ import annotations

from tests.support.clusters import client, cluster, n_workers

__all__ = ["client", "cluster", "n_workers"]
