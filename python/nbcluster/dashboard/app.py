"""The dashboard's web server: Bokeh's, with pages, rules and paths of our own.

    request ── gate (user, Host) ── prefix ──▶ page | websocket | figures | files
                  └──▶ 403            └──▶ 404

Stock Bokeh writes root-absolute URLs, copies headers and cookies into the page, answers any site's ``autoload.js`` and
runs inline scripts. Here every URL is relative, so that the pages work below any path; nothing of a request but its
query reaches a session; only our own files hold scripts, and a Content-Security-Policy says so.
"""

from __future__ import annotations

import secrets
import socket
import time
from typing import Any

from bokeh.resources import Resources
from bokeh.server.tornado import BokehTornado
from bokeh.server.views.autoload_js_handler import AutoloadJsHandler
from bokeh.server.views.doc_handler import DocHandler
from bokeh.server.views.metadata_handler import MetadataHandler
from bokeh.server.views.multi_root_static_handler import MultiRootStaticHandler
from bokeh.server.views.static_handler import StaticHandler
from bokeh.server.views.ws import WSHandler
from tornado import httputil
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler

from nbcluster.dashboard import handlers
from nbcluster.dashboard.feed import Feed
from nbcluster.dashboard.gate import Gate, Refusal
from nbcluster.dashboard.pages import PAGES
from nbcluster.dashboard.session import application

REPLACED: dict[type[RequestHandler], type[RequestHandler]] = {
    DocHandler: handlers.PageHandler,
    WSHandler: handlers.LiveHandler,
    StaticHandler: handlers.BokehFiles,
    MultiRootStaticHandler: handlers.Absent,
    AutoloadJsHandler: handlers.Absent,
    MetadataHandler: handlers.Absent,
}
MOST_FROM_BROWSER = 1 << 20
"""Bytes in one message from a browser: it only ever sends small changes."""


class DashboardApplication(BokehTornado):
    """Serves one cluster's pages.

    Args:
        feed: what the cluster says.
        gate: who may come in.
        prefix: what paths on TCP sockets begin with; ``""`` for nothing.
    """

    def __init__(self, feed: Feed, gate: Gate, prefix: str = "") -> None:
        self.feed = feed
        self.last_request = time.monotonic()
        self._gate = gate
        self.path_prefix = normalised_prefix(prefix)
        super().__init__(
            {page.path: application(page, feed) for page in PAGES},
            extra_patterns=list(handlers.PATTERNS),
            use_index=False,
            sign_sessions=True,
            secret_key=secrets.token_bytes(32),
            include_headers=[],
            include_cookies=[],
            websocket_max_message_size_bytes=MOST_FROM_BROWSER,
            check_unused_sessions_milliseconds=5_000,
            unused_session_lifetime_milliseconds=10_000,
            template_path=str(handlers.TEMPLATES),
            default_handler_class=handlers.Absent,
        )
        self.initialize(IOLoop.current())

    @property
    def idle_seconds(self) -> float:
        """How long nobody has looked."""
        return 0.0 if self.feed.watchers else time.monotonic() - self.last_request

    def resources(self, absolute_url: str | bool | None = None) -> Resources:
        """Where pages find BokehJS: beside themselves."""
        return Resources(mode="server", root_url="", path_versioner=StaticHandler.append_version)

    def find_handler(self, request: httputil.HTTPServerRequest, **options: Any) -> Any:
        """Route a request that may come in; called by the HTTP server for each one."""
        connection = _socket(request)
        refusal = self._gate.refusal(connection, request.headers.get("Host", ""))
        if refusal is None and connection.family in (socket.AF_INET, socket.AF_INET6):
            refusal = self._strip_prefix(request)
        if refusal is not None:
            return self.get_handler_delegate(request, handlers.Refused, {"refusal": refusal})
        self.last_request = time.monotonic()
        return super().find_handler(request, **options)

    def get_handler_delegate(
        self,
        request: httputil.HTTPServerRequest,
        target_class: type[RequestHandler],
        target_kwargs: dict[str, Any] | None = None,
        path_args: list[bytes] | None = None,
        path_kwargs: dict[str, bytes] | None = None,
    ) -> Any:
        """Put our handlers in the place of Bokeh's; called for each request."""
        handler = REPLACED.get(target_class, target_class)
        if handler is handlers.Absent:
            target_kwargs = path_args = path_kwargs = None
        return super().get_handler_delegate(request, handler, target_kwargs, path_args, path_kwargs)

    def _strip_prefix(self, request: httputil.HTTPServerRequest) -> Refusal | None:
        prefix = self.path_prefix
        if not prefix:
            return None
        path = request.path or ""
        if path in ("/", prefix):  # both lead to the first page, below the prefix
            request.path = "/"
        elif path.startswith(f"{prefix}/"):
            request.path = path[len(prefix) :]
        else:
            return Refusal(404, f"The pages of this dashboard are below {prefix}")
        return None


def normalised_prefix(prefix: str) -> str:
    """``"foo/"`` and ``"/foo"`` are ``"/foo"``; ``"/"`` is ``""``."""
    inner = prefix.strip("/")
    return f"/{inner}" if inner else ""


def _socket(request: httputil.HTTPServerRequest) -> socket.socket:
    connection: Any = request.connection
    found: socket.socket = connection.stream.socket
    return found
