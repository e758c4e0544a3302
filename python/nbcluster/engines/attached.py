"""In a notebook, the Jupyter server keeps the cluster: how a cell gets it."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
from msgspec.structs import replace

from nbcluster.client.cells import told_of_interrupt
from nbcluster.engines.native import RemoteEngine
from nbcluster.snapshot import ClusterView
from nbcluster.types import Address
from nbcluster.units import parse_seconds


class AttachedEngine(RemoteEngine):
    """A cluster that a Jupyter server holds for a cell of this kernel."""

    def __init__(self, endpoint: Any, cell: str, keywords: Mapping[str, Any]) -> None:
        super().__init__("")
        self.name = ""
        self.cluster_id = ""
        self.dashboard_link = ""
        """A path on the Jupyter server, as the browser sees it."""
        self._endpoint = endpoint
        self._cell = cell
        self._view_interval = parse_seconds(keywords.get("scheduler_sync_interval", 1), "scheduler_sync_interval")
        self._keywords = {name: value for name, value in keywords.items() if value is not None}

    @property
    def address(self) -> Address:
        """Where other processes connect."""
        return super().view.address or self._address

    @property
    def view(self) -> ClusterView:
        """The latest view, with what only the server knows: where a browser finds the dashboard."""
        view = super().view
        return replace(view, id=self.cluster_id or view.id, dashboard_link=self.dashboard_link)

    async def start(self) -> None:
        """Ask the server for the cell's cluster, and connect to it."""
        from nbcluster.jupyter.discovery import attach

        pickled = cloudpickle.dumps(dict(sorted(self._keywords.items())))
        attachment = await attach(
            self._endpoint,
            cell=self._cell,
            keywords=pickled,
            digest=hashlib.blake2b(pickled, digest_size=16).digest(),
            name=self._keywords.get("name"),
            on_interrupt=told_of_interrupt,
        )
        self._address = attachment.address
        self._on_close = attachment.close
        self.name = attachment.name
        self.cluster_id = attachment.cluster_id
        self.dashboard_link = attachment.dashboard_link
        await super().start()


def attach_to_server(keywords: Mapping[str, Any]) -> AttachedEngine | None:
    """The engine of this cell's cluster, if this process is a kernel of a server with nbcluster."""
    if "IPython" not in sys.modules or os.environ.get("NBCLUSTER_SERVER") == "off":
        return None
    from nbcluster.jupyter.discovery import cell_identity, find_server

    endpoint = find_server()
    return None if endpoint is None else AttachedEngine(endpoint, cell_identity(), keywords)
