"""What most tests of faults begin with: a cluster of two worker processes, and its client."""

from __future__ import annotations

from tests.support.clusters import client, cluster, n_workers

__all__ = ["client", "cluster", "n_workers"]
