"""The dashboard through the Jupyter server: behind its login, below its ``base_url``, with no port of its own.

    browser ── /nbcluster/dashboard/<cluster id>/<path> ──▶ this handler ── Unix socket ──▶ dashboard process

Rules
1. Where to connect is looked up by the cluster's id, which the server made. Nothing in a URL says where.
2. GET, HEAD and the websocket of plots; logged in, authorised, and asked by a page of this server.
3. What is not on a list here does not pass, in either direction: no cookie, no token, no header of the visitor's goes
   to the dashboard, and no cookie or absolute redirect comes back.
4. A page in a frame of this origin could do all that Jupyter can: its policy is set here, whatever the dashboard says.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode

from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.httputil import HTTPHeaders
from tornado.netutil import Resolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.websocket import (
    WebSocketClientConnection,
    WebSocketClosedError,
    WebSocketHandler,
    websocket_connect,
)

from nbcluster.jupyter.models import CLUSTER_ID
from nbcluster.page_policy import CONTENT_SECURITY_POLICY

AUTH_RESOURCE = "nbcluster"
SUBPROTOCOL = "bokeh"

Resolve = Callable[[str], "str | None"]
"""The path of the Unix socket on which the dashboard of a cluster with this id is found; None if there is none."""


PASSED_ON = ("Accept", "Accept-Language", "If-None-Match", "If-Modified-Since")
PASSED_BACK = ("Content-Type", "Cache-Control", "ETag", "Last-Modified", "Expires", "Vary")
HOST = "localhost"
"""By this name the dashboard is visited, and it is what its websocket takes for the page's origin."""

CONNECT_TIMEOUT = 30.0
"""The first visit starts the dashboard's process, which imports Bokeh before it answers."""
REQUEST_TIMEOUT = 60.0
MOST_BYTES = 64 * 2**20

_PATH = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?")
"""No segment is empty or begins with a dot, and no character has a meaning to anybody."""


class DashboardProxy(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """Passes a page's requests to the dashboard, and its websocket's messages both ways."""

    SUPPORTED_METHODS = ("GET", "HEAD")
    auth_resource = AUTH_RESOURCE

    def initialize(self, resolve: Resolve) -> None:
        """Called by Tornado with what the route says."""
        self._resolve = resolve
        self._live: WebSocketClientConnection | None = None
        self._relay: asyncio.Task[None] | None = None
        self._token = ""

    @property
    def content_security_policy(self) -> str:
        """For every answer; what the server is configured with for its own pages is too wide here."""
        return CONTENT_SECURITY_POLICY

    def set_default_headers(self) -> None:
        """Called by Tornado."""
        super().set_default_headers()
        self.set_header("Referrer-Policy", "no-referrer")  # this page's URL may hold a token
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")

    def get_login_url(self) -> str:
        """There is no way from a frame to a login page and back."""
        raise web.HTTPError(HTTPStatus.FORBIDDEN)

    def compute_etag(self) -> None:
        """The dashboard's own, if there is one, passes as it is."""

    # --- requests ---

    @ws_authenticated
    def get(  # type: ignore[override]  # the answer may be none, as anywhere else in Tornado
        self, cluster_id: str, path: str | None
    ) -> Awaitable[None] | None:
        """A page, a file, or the websocket."""
        if self.request.headers.get("Upgrade", "").lower() == "websocket":
            return self._join(cluster_id, path)
        return self._fetch(cluster_id, path)

    @web.authenticated
    def head(self, cluster_id: str, path: str | None) -> Awaitable[None] | None:
        """The same as ``get``, without a body."""
        return self._fetch(cluster_id, path)

    @web.authenticated
    @authorized
    async def _fetch(self, cluster_id: str, path: str | None) -> None:
        if path is None:
            self.redirect(f"{cluster_id}/")
            return
        target, socket_path = self._target(cluster_id, path)
        client = SimpleAsyncHTTPClient(force_instance=True, resolver=_UnixSocket(socket_path), max_body_size=MOST_BYTES)
        try:
            response = await client.fetch(
                HTTPRequest(
                    f"http://{HOST}{target}",
                    method=self.request.method or "GET",
                    headers=self._wanted_headers(),
                    follow_redirects=False,
                    decompress_response=False,
                    connect_timeout=CONNECT_TIMEOUT,
                    request_timeout=REQUEST_TIMEOUT,
                ),
                raise_error=False,
            )
        except (OSError, HTTPClientError) as error:
            raise _gone(error) from error
        finally:
            client.close()
        self._pass_back(response)

    def _pass_back(self, response: HTTPResponse) -> None:
        self.set_status(response.code, response.reason)
        for name in PASSED_BACK:
            if name in response.headers:
                self.set_header(name, response.headers[name])
        location = response.headers.get("Location", "")
        if location:
            path, _, _ = location.partition("?")
            if not _PATH.fullmatch(path.removeprefix("../")):
                raise web.HTTPError(HTTPStatus.BAD_GATEWAY, "the dashboard redirects to somewhere else")
            self.set_header("Location", location)
        if self.request.method == "HEAD" and "Content-Length" in response.headers:
            self.set_header("Content-Length", response.headers["Content-Length"])
        if response.code == HTTPStatus.NOT_MODIFIED:
            self.clear_header("Content-Type")
        elif response.body:
            self.write(response.body)
        self.finish()

    # --- the websocket ---

    @ws_authenticated
    @authorized
    async def _join(self, cluster_id: str, path: str | None) -> None:
        offered = [word.strip() for word in self.request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        if len(offered) != 2 or offered[0] != SUBPROTOCOL:
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, "this is the websocket of Bokeh's plots")
        target, socket_path = self._target(cluster_id, path or "")
        try:
            self._live = await websocket_connect(
                HTTPRequest(
                    f"ws://{HOST}{target}",
                    headers=HTTPHeaders({"Origin": f"http://{HOST}"}),
                    connect_timeout=CONNECT_TIMEOUT,
                    request_timeout=REQUEST_TIMEOUT,
                ),
                subprotocols=offered,
                resolver=_UnixSocket(socket_path),
                max_message_size=MOST_BYTES,
            )
        except (OSError, HTTPClientError) as error:
            raise _gone(error) from error
        try:
            await WebSocketHandler.get(self)  # returns when the visitor's side is closed
        finally:
            self._leave()

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Called by Tornado. The other word that BokehJS offers is its session's token."""
        return SUBPROTOCOL

    def open(self, *args: str, **kwargs: str) -> None:
        """Called by Tornado: the visitor's side is up."""
        super().open(*args, **kwargs)
        assert self._live is not None
        self._relay = asyncio.get_running_loop().create_task(self._pass_messages_back(self._live))

    async def on_message(self, message: str | bytes) -> None:
        """Called by Tornado, which reads no further until the dashboard has taken this one."""
        if self._live is not None:
            try:
                await self._live.write_message(message, binary=isinstance(message, bytes))
            except WebSocketClosedError:
                self.close(1001, "the dashboard has ended")

    def on_close(self) -> None:
        """Called by Tornado."""
        self._leave()
        super().on_close()

    async def _pass_messages_back(self, live: WebSocketClientConnection) -> None:
        try:
            while (message := await live.read_message()) is not None:
                await self.write_message(message, binary=isinstance(message, bytes))
        except WebSocketClosedError:
            return  # the visitor has left
        self.close(1001, "the dashboard has ended")

    def _leave(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.close()
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.cancel()

    # --- both ---

    def _target(self, cluster_id: str, path: str) -> tuple[str, str]:
        """The path and query to ask the dashboard for, and its socket.

        Raises:
            HTTPError: another site's page asks, there is no such cluster, or that is no path of ours.
        """
        origin = self.request.headers.get("Origin")
        if origin is not None and not self.check_origin(origin):
            raise web.HTTPError(HTTPStatus.FORBIDDEN, "asked by a page of another site")
        if not _PATH.fullmatch(path):
            raise web.HTTPError(HTTPStatus.NOT_FOUND, "there is no such page")
        socket_path = self._resolve(cluster_id)
        if not socket_path:
            raise web.HTTPError(HTTPStatus.NOT_FOUND, "this cluster has no dashboard, or is no more")
        arguments = parse_qsl(self.request.query, keep_blank_values=True)
        query = urlencode([(name, value) for name, value in arguments if name != "token"])
        return f"/{path}?{query}" if query else f"/{path}", socket_path

    def _wanted_headers(self) -> HTTPHeaders:
        known = self.request.headers
        return HTTPHeaders({name: known[name] for name in PASSED_ON if name in known})

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Called by Tornado for every answer that is no success: plain text, for a frame."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        said = error.get_message() if isinstance(error, web.HTTPError) else ""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code}: {said or HTTPStatus(status_code).phrase}\n")


class _UnixSocket(Resolver):
    """Resolves every name to one socket file."""

    def __new__(cls, path: str) -> _UnixSocket:
        resolver: _UnixSocket = super().__new__(cls, path=path)
        return resolver

    def initialize(self, path: str) -> None:
        """Called by Tornado in the place of ``__init__``."""
        self._path = path

    async def resolve(self, host: str, port: int, family: int = 0) -> list[tuple[int, Any]]:
        """The socket file, whatever the host is."""
        return [(socket.AF_UNIX, self._path)]


def _gone(error: Exception) -> web.HTTPError:
    # The path of the socket, which an OSError may name, is none of the visitor's business.
    what = "it refused" if isinstance(error, HTTPClientError) and error.code != 599 else "it cannot be reached"
    return web.HTTPError(
        HTTPStatus.SERVICE_UNAVAILABLE, "the cluster's dashboard does not answer (%s); reload to try again", what
    )


def proxy_handlers(resolve: Resolve) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """The routes of the dashboards, relative to the server's ``base_url``.

    Args:
        resolve: finds the socket of a cluster's dashboard by the cluster's id.
    """
    pattern = rf"/nbcluster/dashboard/({CLUSTER_ID})(?:/(.*))?"
    return [(pattern, DashboardProxy, {"resolve": resolve})]
