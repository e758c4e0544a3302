"""What a Jupyter server that owns a cluster adds to how it looks."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from nbcluster.snapshot import ClusterView
from nbcluster.widgets.figures import is_ready


@dataclass(frozen=True)
class ServerInfo:
    """A cluster as the Jupyter server knows it; both come with a kernel's attachment to it."""

    cluster_id: str
    """The server's name for it."""
    dashboard_link: str
    """Where the server shows its dashboard: a path below the server's base URL."""

    def complete(self, view: ClusterView) -> ClusterView:
        """A view as the server would give it: the cluster itself does not know where a browser finds it."""
        return replace(view, id=self.cluster_id, dashboard_link=self.dashboard_link if is_ready(view) else "")
