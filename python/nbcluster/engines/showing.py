"""Fills the port through which a cluster shows itself: clusters know nothing of cards, nor cards of clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbcluster.cluster.base import Cluster


def show(cluster: Cluster) -> dict[str, Any]:
    """A cluster's card, as a MIME bundle. What makes it is imported by the first one."""
    from nbcluster.engines.attached import AttachedEngine
    from nbcluster.widgets import ServerInfo, mimebundle

    engine = cluster.engine
    server = None
    if isinstance(engine, AttachedEngine):
        server = ServerInfo(engine.cluster_id, engine.dashboard_link)
    return mimebundle(engine, repr(cluster), loop=lambda: cluster.loop, server=server)
