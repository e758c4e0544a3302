"""The dashboard through a real Jupyter server with a base_url: rows 39 to 43 of the faults, and that it works."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.netutil import bind_unix_socket
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClientConnection, WebSocketHandler

from nbcluster.dashboard.activation import DashboardActivator
from nbcluster.engines.base import Engine
from nbcluster.jupyter.extension import NbclusterExtension
from nbcluster.page_policy import CONTENT_SECURITY_POLICY
from nbcluster.types import Status
from tests.support.eventually import soon
from tests.support.fake_cluster import TOKEN, FakeCluster, make_view, make_worker
from tests.support.fake_engine import FakeEngine
from tests.support.raw_http import Reply, request, session_token

BASE = "/some/where/nbcluster/dashboard"

Live = Callable[..., Any]


class Site:
    """The Jupyter server as a browser sees it that may or may not be logged in."""

    def __init__(self, port: int, token: str, cluster_id: str) -> None:
        self.server = ("127.0.0.1", port)
        self.host = f"localhost:{port}"
        self.token = token
        self.cluster_id = cluster_id

    async def get(self, path: str, method: str = "GET", **headers: str) -> Reply:
        """Ask for a page of the cluster's dashboard, with the token unless `Authorization` says otherwise."""
        headers.setdefault("Authorization", f"token {self.token}")
        return await self.raw(f"{BASE}/{self.cluster_id}/{path}", method, **headers)

    async def raw(self, path: str, method: str = "GET", **headers: str) -> Reply:
        return await request(self.server, path, method, **{"Host": self.host, **headers})

    async def log_in(self) -> str:
        """The cookies of a browser that is logged in."""
        cookies: SimpleCookie = SimpleCookie()
        reply = await self.raw(f"/some/where/api/status?token={self.token}")
        for cookie in reply.headers.get_list("Set-Cookie"):
            cookies.load(cookie)
        return "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())


@pytest.fixture
def socket_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where every cluster's dashboard is."""
    path = tmp_path / "d.sock"
    monkeypatch.setattr(FakeEngine, "dashboard_socket", str(path))
    return path


@pytest.fixture
def site(
    app: NbclusterExtension,
    engines: list[FakeEngine],
    jp_http_port: int,
    jp_auth_header: dict[str, str],
    jp_fetch: Callable[..., Any],
    jp_asyncio_loop: asyncio.AbstractEventLoop,
    socket_path: Path,
) -> Site:
    """A server with one cluster."""

    async def make() -> str:
        await jp_fetch("nbcluster", "api", "v1", "clusters", method="POST", body="{}")
        await soon(lambda: engines[0].status is Status.RUNNING)
        return engines[0].spec.id

    cluster_id = jp_asyncio_loop.run_until_complete(make())
    return Site(jp_http_port, jp_auth_header["Authorization"].removeprefix("token "), cluster_id)


# --- in the place of a dashboard ---


class Upstream:
    """Says what it was told to say, and writes down what it was asked."""

    def __init__(self) -> None:
        self.asked: list[HTTPServerRequest] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b"hello"
        self.received: list[str | bytes | None] = []
        self.live: list[WebSocketHandler] = []


class _Page(RequestHandler):
    def initialize(self, upstream: Upstream) -> None:
        self.upstream = upstream

    def compute_etag(self) -> None:
        return None

    def get(self) -> None:
        self.upstream.asked.append(self.request)
        self.set_status(self.upstream.status)
        for name, value in self.upstream.headers.items():
            self.set_header(name, value)
        if self.upstream.status != 304:
            self.write(self.upstream.body)

    head = get


class _Live(WebSocketHandler):
    def initialize(self, upstream: Upstream) -> None:
        self.upstream = upstream

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        self.offered = subprotocols
        return subprotocols[0]

    def open(self) -> None:
        self.upstream.asked.append(self.request)
        self.upstream.live.append(self)
        self.write_message(str(self.offered))

    async def on_message(self, message: str | bytes) -> None:
        self.upstream.received.append(message)
        await self.write_message(message, binary=isinstance(message, bytes))

    def on_close(self) -> None:
        self.upstream.received.append(None)


@asynccontextmanager
async def upstream_at(path: Path) -> AsyncIterator[Upstream]:
    upstream = Upstream()
    routes = [(r"/[a-z-]+/ws", _Live, {"upstream": upstream}), (r"/.*", _Page, {"upstream": upstream})]
    server = HTTPServer(Application(routes))
    server.add_sockets([bind_unix_socket(str(path))])
    try:
        yield upstream
    finally:
        server.stop()
        for live in upstream.live:
            live.close()
        await server.close_all_connections()


# --- it works ---


async def test_the_real_dashboard_shows_below_a_base_url_with_its_live_plots(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jp_ws_fetch: Live
) -> None:
    async with FakeCluster() as cluster:
        activator = DashboardActivator(None, tmp_path, cluster_address=cluster.address, token=TOKEN)
        await activator.start()
        monkeypatch.setattr(FakeEngine, "dashboard_socket", str(activator.socket_path))
        try:
            root = await site.get("")
            assert (root.status, root.headers["Location"]) == (302, "status")
            page = await site.get("status?theme=dark")
            assert page.status == 200
            assert 'data-theme="dark"' in page.text
            for url in re.findall(r'<script[^>]*src="([^"]*)"', page.text):
                script = await site.get(url)
                assert script.status == 200
                assert "javascript" in script.headers["Content-Type"]
                again = await site.get(url, If_None_Match=script.headers["Etag"])
                assert (again.status, again.body) == (304, b"")
            live = await jp_ws_fetch(
                "nbcluster",
                "dashboard",
                site.cluster_id,
                "status",
                "ws",
                subprotocols=["bokeh", session_token(page.text)],
            )
            assert live.selected_subprotocol == "bokeh"
            assert "ACK" in str(await live.read_message())
            await soon(lambda: cluster.subscriptions == 1)
            cluster.show(make_view([make_worker("newcomer")]))
            message = ""
            while "newcomer" not in message:
                message = str(await asyncio.wait_for(live.read_message(), 20))
            await close(live)
        finally:
            await activator.close()


async def test_without_a_slash_the_way_leads_to_the_one_with_it(site: Site) -> None:
    reply = await site.raw(f"{BASE}/{site.cluster_id}", Authorization=f"token {site.token}")
    assert (reply.status, reply.headers["Location"]) == (302, f"{site.cluster_id}/")


async def test_messages_pass_both_ways_as_they_are(site: Site, socket_path: Path, jp_ws_fetch: Live) -> None:
    async with upstream_at(socket_path) as upstream:
        live = await join(site, jp_ws_fetch)
        assert await live.read_message() == "['bokeh', 'session-token']"
        for message in ("text", b"\x00binary", "x" * 100_000):
            await live.write_message(message, binary=isinstance(message, bytes))
            assert await live.read_message() == message
        await close(live)
        await soon(lambda: upstream.received[-1] is None, "the dashboard's side is closed too")


async def test_when_the_dashboard_ends_the_visitors_websocket_does(
    site: Site, socket_path: Path, jp_ws_fetch: Live
) -> None:
    async with upstream_at(socket_path):
        live = await join(site, jp_ws_fetch)
        await live.read_message()
    assert await asyncio.wait_for(live.read_message(), 20) is None
    assert live.close_code == 1001
    live.close()


async def test_head_answers_without_a_body(site: Site, socket_path: Path) -> None:
    async with upstream_at(socket_path):
        reply = await site.get("status", "HEAD")
        assert (reply.status, reply.body, reply.headers["Content-Length"]) == (200, b"", "5")


# --- what passes ---


async def test_nothing_of_the_visitor_but_the_query_reaches_the_dashboard(site: Site, socket_path: Path) -> None:
    async with upstream_at(socket_path) as upstream:
        cookies = await site.log_in()
        await site.get(
            f"status?theme=dark&token={site.token}&worker=a%26b",
            Cookie=cookies,
            X_XSRFToken="canary",
            X_Forwarded_For="canary",
            Referer="http://canary/",
            Proxy_Authorization="canary",
            Accept_Language="de",
        )
        (asked,) = upstream.asked
        assert asked.uri == "/status?theme=dark&worker=a%26b"
        assert asked.headers["Host"] == "localhost"
        assert asked.headers["Accept-Language"] == "de"
        whole = str(list(asked.headers.get_all())) + str(asked.uri)
        for secret in ("canary", site.token, "Cookie", "Authorization", "_xsrf"):
            assert secret not in whole


async def test_nothing_of_the_visitor_reaches_the_websocket_either(
    site: Site, socket_path: Path, jp_ws_fetch: Live
) -> None:
    async with upstream_at(socket_path) as upstream:
        live = await join(site, jp_ws_fetch, params={"theme": "dark", "token": site.token})
        await live.read_message()
        (asked,) = upstream.asked
        assert asked.uri == "/status/ws?theme=dark"
        assert asked.headers["Origin"] == "http://localhost"
        assert asked.headers["Host"] == "localhost"
        assert site.token not in str(list(asked.headers.get_all()))
        await close(live)


async def test_no_cookie_and_no_policy_of_the_dashboard_comes_back(site: Site, socket_path: Path) -> None:
    async with upstream_at(socket_path) as upstream:
        upstream.headers = {
            "Set-Cookie": "a=b",
            "Content-Security-Policy": "default-src *",
            "Access-Control-Allow-Origin": "http://evil.example",
            "X-Other": "canary",
            "Content-Type": "text/html",
            "Etag": '"1"',
        }
        reply = await site.get("status")
        assert reply.body == b"hello"
        assert reply.headers["Content-Type"] == "text/html"
        assert reply.headers["Etag"] == '"1"'
        assert reply.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert "X-Other" not in reply.headers
        whole = str(list(reply.headers.get_all()))
        assert "evil.example" not in whole
        assert "a=b" not in whole


def test_only_pages_of_the_server_may_show_the_dashboard_in_a_frame() -> None:
    assert "frame-ancestors 'self'" in CONTENT_SECURITY_POLICY


@pytest.mark.parametrize(
    "location",
    [
        "http://evil.example/",
        "//evil.example",
        "/login",
        "javascript:alert(1)",
        "http:evil",
        "../../x",
        "a\\b",
        "status/../..",
    ],
)
async def test_redirects_to_elsewhere_are_not_passed_on(site: Site, socket_path: Path, location: str) -> None:
    async with upstream_at(socket_path) as upstream:
        upstream.status, upstream.headers = 302, {"Location": location}
        reply = await site.get("x")
        assert reply.status == 502
        assert "Location" not in reply.headers
        assert len(upstream.asked) == 1


# --- who and where ---


async def test_without_credentials_there_is_nothing(site: Site, socket_path: Path, jp_ws_fetch: Live) -> None:
    async with upstream_at(socket_path) as upstream:
        for path in ("status", "", "static/js/bokeh.min.js", "status/ws"):
            for method in ("GET", "HEAD"):
                assert (await site.get(path, method, Authorization="none")).status == 403
        with pytest.raises(HTTPClientError, match="403"):
            await join(site, jp_ws_fetch, headers={"Authorization": "none"})
        assert upstream.asked == []


async def test_without_authorisation_there_is_nothing(
    site: Site, socket_path: Path, jp_ws_fetch: Live, app: NbclusterExtension
) -> None:
    asked: list[tuple[str, str]] = []

    def refuse(handler: object, user: object, action: str, resource: str) -> bool:
        asked.append((action, resource))
        return False

    assert app.serverapp is not None
    app.serverapp.web_app.settings["authorizer"].is_authorized = refuse
    async with upstream_at(socket_path) as upstream:
        assert (await site.get("status")).status == 403
        with pytest.raises(HTTPClientError, match="403"):
            await join(site, jp_ws_fetch)
        assert upstream.asked == []
    assert set(asked) == {("read", "nbcluster")}


async def test_pages_of_other_sites_get_nothing(site: Site, socket_path: Path, jp_ws_fetch: Live) -> None:
    async with upstream_at(socket_path) as upstream:
        cookies = await site.log_in()
        own = {"Cookie": cookies, "Authorization": "none"}
        assert (await site.get("status", **own)).status == 200
        assert (await site.get("status", Origin=f"http://{site.host}", **own)).status == 200
        live = await join(site, jp_ws_fetch, headers={**own, "Origin": f"http://{site.host}"})
        await live.read_message()
        await close(live)
        seen = len(upstream.asked)
        for origin in ("http://evil.example", "null", f"http://{site.host}.evil.example", "http://localhost:1"):
            assert (await site.get("status", Origin=origin, **own)).status == 403
            with pytest.raises(HTTPClientError, match="403"):
                await join(site, jp_ws_fetch, headers={**own, "Origin": origin})
        assert len(upstream.asked) == seen


async def test_a_rebound_name_gets_nothing(site: Site, socket_path: Path, jp_ws_fetch: Live) -> None:
    async with upstream_at(socket_path) as upstream:
        assert (await site.get("status", Host="evil.example")).status == 403
        with pytest.raises(HTTPClientError, match="403"):
            await join(site, jp_ws_fetch, headers={"Host": "evil.example"})
        assert upstream.asked == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_nothing_but_looking_is_possible(site: Site, socket_path: Path, method: str) -> None:
    async with upstream_at(socket_path) as upstream:
        assert (await site.get("status", method, Content_Length="0")).status in (403, 405)
        assert upstream.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "%2e%2e/x",
        "status/..",
        "status/%2e%2e/%2e%2e/x",
        "..%2f..%2fx",
        "%00",
        "status%00",
        "status%0d%0aHost:%20evil",
        "/evil.example/",
        "/169.254.169.254/latest/meta-data/",
        "@evil.example/",
        "http://evil.example/",
        "http:%2f%2fevil.example",
        "[::1]:80/",
        ":80/",
        "%5c%5cevil.example",
        ".hidden",
        "%ff",
        "a b",
        "a%20b",
    ],
)
async def test_a_path_leads_nowhere_else(site: Site, socket_path: Path, path: str) -> None:
    async with upstream_at(socket_path) as upstream:
        assert (await site.get(path)).status in (400, 403, 404)
        assert upstream.asked == []


@pytest.mark.parametrize(
    "cluster_id",
    ["0123456789abcdef", "../../etc", "%2e%2e", "0123456789ABCDEF", "x", "unix:%2ftmp%2fx", "127.0.0.1:80", "a@b"],
)
async def test_only_ids_that_the_server_made_lead_anywhere(site: Site, socket_path: Path, cluster_id: str) -> None:
    async with upstream_at(socket_path) as upstream:
        path = f"{BASE}/{cluster_id}/status"
        assert (await site.raw(path, Authorization=f"token {site.token}")).status == 404
        assert upstream.asked == []


async def test_a_dashboard_that_does_not_answer_is_not_described(
    site: Site, socket_path: Path, jp_ws_fetch: Live
) -> None:
    reply = await site.get("status")
    assert reply.status == 503
    assert "does not answer" in reply.text
    assert str(socket_path) not in reply.text
    with pytest.raises(HTTPClientError, match="503"):
        await join(site, jp_ws_fetch)


async def test_a_cluster_without_a_dashboard_has_no_pages(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeEngine, "dashboard_socket", Engine.dashboard_socket)
    assert (await site.get("status")).status == 404


async def test_only_bokehs_websocket_is_passed_on(site: Site, socket_path: Path, jp_ws_fetch: Live) -> None:
    async with upstream_at(socket_path) as upstream:
        for offered in (["other", "x"], ["bokeh"], ["bokeh", "a", "b"], None):
            with pytest.raises(HTTPClientError, match="400"):
                await join(site, jp_ws_fetch, subprotocols=offered)
        assert upstream.asked == []


async def join(site: Site, jp_ws_fetch: Live, **options: Any) -> WebSocketClientConnection:
    options.setdefault("subprotocols", ["bokeh", "session-token"])
    live: WebSocketClientConnection = await jp_ws_fetch(
        "nbcluster", "dashboard", site.cluster_id, "status", "ws", **options
    )
    return live


async def close(live: WebSocketClientConnection) -> None:
    protocol: Any = live.protocol
    live.close()
    while not protocol.stream.closed():
        if await live.read_message() is None:
            break
    await soon(lambda: protocol.stream.closed())
