"""What most tests of faults begin with: a cluster of two worker processes, and its client; or each kind of link."""

from __future__ import annotations

from tests.support.clusters import client, cluster, n_workers
from tests.support.links import loop_kind, transport

__all__ = ["client", "cluster", "loop_kind", "n_workers", "transport"]
