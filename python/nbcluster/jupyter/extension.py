"""The server extension: puts the parts together, and ties them to the life of the Jupyter server.

    Jupyter's events about kernels ──▶ ClusterManager.reconcile, ControlChannel.interrupted
    ClusterManager ──▶ Jupyter's event bus, the server's record of activity
    REST handlers, dashboard proxy, control channel ──▶ ClusterManager

Nothing of a scheduler runs here: a cluster is a process of its own, and all that may block is done in
threads.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import url_path_join
from traitlets import Float

from nbcluster.jupyter.control import ControlChannel
from nbcluster.jupyter.events import EVENT_ID, EVENT_SCHEMA, KERNEL_ACTIONS, Action, payload
from nbcluster.jupyter.handlers import routes
from nbcluster.jupyter.kernels import Kernels
from nbcluster.jupyter.manager import ClusterManager
from nbcluster.jupyter.proxy import proxy_handlers
from nbcluster.snapshot import ClusterView


class NbclusterExtension(ExtensionApp):
    """nbcluster in a Jupyter server."""

    name = "nbcluster"
    load_other_extensions = True
    classes = [ClusterManager]  # noqa: RUF012 (the name and the type are the base class's)

    stop_timeout = Float(
        8.0, min=0.0, help="How many seconds all clusters together have to end when the server stops."
    ).tag(config=True)

    def initialize_settings(self) -> None:
        """Make the parts. Called while the server is set up: there need be no running loop yet."""
        server = self._server
        self.kernels = Kernels(server.kernel_manager, server.session_manager, server.kernel_spec_manager)
        self.manager = ClusterManager(
            parent=self,
            kernels=self.kernels,
            on_event=self._tell,
            dashboard_link=self._dashboard_link,
            root_dir=server.root_dir,
        )
        self.channel = ControlChannel(self.manager, self.kernels, self.log)
        if EVENT_ID not in server.event_logger.schemas:
            server.event_logger.register_event_schema(EVENT_SCHEMA)
        server.event_logger.add_listener(schema_id=KERNEL_ACTIONS, listener=self._on_kernel_action)

    def initialize_handlers(self) -> None:
        """Add the routes."""
        self.handlers.extend([*routes(self.manager), *proxy_handlers(self.manager.dashboard_socket)])

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Called as soon as the server's loop runs."""
        await self.channel.open()

    async def stop_extension(self) -> None:
        """Called when the server stops, also at SIGTERM: end everything, by one deadline."""
        self._server.event_logger.remove_listener(schema_id=KERNEL_ACTIONS, listener=self._on_kernel_action)
        await asyncio.gather(self.channel.close(), self.manager.close(self.stop_timeout))

    def current_activity(self) -> list[str] | None:
        """What keeps an idle server from being shut down: clusters that work."""
        return self.manager.busy_clusters() or None

    @property
    def _server(self) -> Any:
        """The server that this extension belongs to: there is one before anything here is called."""
        return self.serverapp

    def _dashboard_link(self, cluster_id: str) -> str:
        link: str = url_path_join(self._server.base_url, "nbcluster/dashboard", cluster_id, "status")
        return link

    def _tell(self, action: Action, view: ClusterView) -> None:
        self._server.event_logger.emit(schema_id=EVENT_ID, data=payload(action, view))
        if self.manager.busy_clusters():
            # JupyterHub culls by this one.
            self._server.web_app.settings["last_activity_times"][self.name] = datetime.now(timezone.utc)

    async def _on_kernel_action(self, logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        if data.get("status") == "error":
            return
        if data["action"] == "interrupt":
            self.channel.interrupted(data["kernel_id"])
        else:
            await self.manager.reconcile()
