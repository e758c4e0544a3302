"""The web server, in this process, on a loopback port and on a Unix socket."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bokeh.util.token import get_token_payload
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket
from tornado.websocket import WebSocketClientConnection, websocket_connect

from nbcluster.comm.transports import connect
from nbcluster.dashboard.app import DashboardApplication
from nbcluster.dashboard.cluster_link import ClusterLink, OnPush
from nbcluster.dashboard.feed import Feed
from nbcluster.dashboard.gate import Gate
from nbcluster.dashboard.pages import PAGES
from nbcluster.dashboard.source import Source
from nbcluster.protocol.messages import ToClient
from nbcluster.snapshot import LogLine
from nbcluster.types import Role
from tests.support.eventually import soon
from tests.support.fake_cluster import TOKEN, FakeCluster, make_view, make_worker
from tests.support.raw_http import Reply, Server, request, session_token

PAYLOAD = "<img src=x onerror=alert(1)>"


@dataclass
class Dashboard:
    """One that runs."""

    cluster: FakeCluster
    application: DashboardApplication
    port: Server
    unix: Path

    async def get(self, path: str, **headers: str) -> Reply:
        return await request(self.port, path, **headers)

    @asynccontextmanager
    async def joined(self, path: str, token: str, **headers: str) -> AsyncIterator[WebSocketClientConnection]:
        assert isinstance(self.port, tuple)
        url = f"ws://localhost:{self.port[1]}{path}/ws"
        live = await websocket_connect(HTTPRequest(url, headers=headers), subprotocols=["bokeh", token])
        protocol: Any = live.protocol
        try:
            yield live
        finally:
            live.close()
            unread = asyncio.ensure_future(_read_all(live))  # or the good-bye would wait behind it
            await soon(lambda: protocol.stream.closed())
            unread.cancel()


@asynccontextmanager
async def dashboard(
    directory: Path, prefix: str = "", gate: Gate | None = None, **view: Any
) -> AsyncIterator[Dashboard]:
    async with FakeCluster(make_view(**view)) as cluster:

        async def open_link(on_push: OnPush | None) -> ClusterLink:
            link = await connect(cluster.address, role=Role.CONTROL, token=TOKEN, incoming=ToClient, timeout=10)
            return ClusterLink(link, on_push)

        link = await open_link(None)
        feed = Feed(link, open_link, Source(), interval=0.05)
        application = DashboardApplication(feed, gate or Gate(), prefix)
        server = HTTPServer(application)
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setblocking(False)
        unix = directory / "d.sock"
        server.add_sockets([listening, bind_unix_socket(str(unix))])
        application.start()
        try:
            yield Dashboard(cluster, application, listening.getsockname(), unix)
        finally:
            server.stop()
            application.stop()
            await feed.close()
            await server.close_all_connections()
            await link.close()


Play = Callable[..., None]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scenario on a dashboard."""

    def run(scenario: Callable[[Dashboard], Awaitable[None]], **options: Any) -> None:
        async def whole() -> None:
            async with dashboard(tmp_path, **options) as one:
                await scenario(one)

        asyncio.run(whole())

    return run


def test_it_is_healthy(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        reply = await one.get("/health")
        assert (reply.status, reply.text) == (200, "ok")

    play(scenario)


def test_every_page_has_only_relative_urls_and_no_script_of_its_own(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        paths = [page.path for page in PAGES] + ["/info/main/workers.html", "/info/main/logs.html"]
        for path in paths:
            reply = await one.get(path)
            assert reply.status == 200
            urls = re.findall(r'(?:src|href)="([^"]*)"', reply.text)
            assert urls
            assert not [url for url in urls if url.startswith("/") or "://" in url]
            assert not re.findall(r"<script(?![^>]*\bsrc=)", reply.text)
            assert not re.findall(r"\son\w+=", reply.text)

    play(scenario)


def test_every_file_that_a_page_names_is_there(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        for path, base in (("/status", ""), ("/info/main/logs.html", "/info/main")):
            reply = await one.get(path)
            for url in re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]*)"', reply.text):
                found = await one.get(_join(base, url))
                assert found.status == 200, url
                assert found.headers["X-Content-Type-Options"] == "nosniff"

    play(scenario)


def test_every_answer_carries_the_policy(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        for path in ("/status", "/health", "/metrics", "/nowhere", "/static/js/bokeh.min.js", "/assets/plots.js"):
            policy = (await one.get(path)).headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'self'" in policy
            assert "script-src 'self';" in policy

    play(scenario)


def test_the_root_leads_to_the_status_page_relatively(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        reply = await one.get("/?theme=dark")
        assert (reply.status, reply.headers["Location"]) == (302, "status?theme=dark")
        reply = await one.get("/status/")
        assert (reply.status, reply.headers["Location"]) == (302, "../status")

    play(scenario)


def test_below_a_prefix_is_everything_and_nothing_beside_it(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        assert (await one.get("/foo/status")).status == 200
        assert (await one.get("/foo/health")).text == "ok"
        assert (await one.get("/status")).status == 404
        assert (await one.get("/foobar/status")).status == 404
        assert (await one.get("/")).headers["Location"] == "foo/status"
        assert (await one.get("/foo")).headers["Location"] == "foo/status"
        assert (await one.get("/foo/")).headers["Location"] == "status"
        # The Jupyter server's proxy knows nothing of it.
        assert (await request(one.unix, "/status")).status == 200

    play(scenario, prefix="foo/")


def test_plots_can_be_embedded_one_by_one(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        plots = json.loads((await one.get("/individual-plots.json")).text)
        assert plots["Task stream"] == "/individual-task-stream"
        assert "/status" not in plots.values()
        for path in plots.values():
            page = (await one.get(path)).text
            assert page.count("<section") == 1
            assert "<header>" not in page

    play(scenario)


def test_the_theme_is_what_the_query_asks_for(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        assert 'data-theme="light"' in (await one.get("/status")).text
        assert 'data-theme="dark"' in (await one.get("/status?theme=dark")).text
        assert 'data-theme="light"' in (await one.get("/status?theme=%3Cscript%3E")).text

    play(scenario)


def test_hostile_names_are_text_on_every_page(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        one.cluster.lines = [LogLine(time=0.0, source=PAYLOAD, level=PAYLOAD, text=PAYLOAD)]
        for path in ("/status", "/info/main/workers.html", "/info/main/logs.html"):
            page = (await one.get(path)).text
            assert PAYLOAD not in page
            assert "&lt;img" in page
        assert json.loads((await one.get("/json/counts.json")).text)["name"] == PAYLOAD

    play(scenario, name=PAYLOAD, workers=[make_worker(PAYLOAD, last_exit=PAYLOAD, address=PAYLOAD)])


def test_the_table_of_workers_shows_them(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        page = (await one.get("/info/main/workers.html")).text
        assert page.count("<tr>") == 3
        assert "100 MiB" in page
        assert "tcp://127.0.0.1:40001" in page
        one.cluster.view = make_view(0)
        assert "No workers yet" in (await one.get("/info/main/workers.html")).text

    play(scenario)


def test_logs_can_be_selected_by_worker_and_level(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        one.cluster.lines = [
            LogLine(time=0.0, source="Scheduler", level="INFO", text="from the scheduler"),
            LogLine(time=0.0, source="x", level="ERROR", text="from a worker", worker=1),
        ]
        everything = (await one.get("/info/main/logs.html")).text
        assert "from the scheduler" in everything
        only = (await one.get("/info/main/logs.html?worker=1&level=warning")).text
        assert "from a worker" in only
        assert "from the scheduler" not in only
        assert one.cluster.calls[-1].level == "WARNING"  # type: ignore[union-attr]
        assert (await one.get("/info/main/logs.html?worker=9")).status == 404
        assert (await one.get("/info/main/logs.html?level=loud")).status == 400

    play(scenario)


def test_figures_are_there_for_programs(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        assert json.loads((await one.get("/json/counts.json")).text)["workers"] == 2
        assert "nbcluster_workers 2\n" in (await one.get("/metrics")).text

    play(scenario)


def test_nothing_can_be_changed(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        for path in ("/status", "/health", "/json/counts.json", "/assets/plots.js"):
            for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
                reply = await request(one.port, path, method, Content_Length="0")
                assert reply.status in (404, 405), (method, path)
            assert (await request(one.port, path, "HEAD")).body == b""

    play(scenario)


def test_what_stock_bokeh_would_serve_is_not_there(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        for path in ("autoload.js?bokeh-autoload-element=a", "metadata"):
            reply = await one.get(f"/status/{path}", Origin="http://evil.example")
            assert reply.status == 404
            assert "Access-Control-Allow-Origin" not in reply.headers
        assert (await one.get("/static/extensions/x.js")).status == 404

    play(scenario)


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/%2e%2e/app.py", "/assets/..%2fapp.py", "/assets//etc/passwd"]
)
def test_no_file_outside_is_served(play: Play, path: str) -> None:
    async def scenario(one: Dashboard) -> None:
        assert (await one.get(path)).status in (403, 404)

    play(scenario)


def test_a_rebound_name_gets_nothing(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        for path in ("/status", "/health", "/static/js/bokeh.min.js", "/status/ws"):
            reply = await one.get(path, Host="evil.example")
            assert reply.status == 403
            assert "token" not in reply.text

    play(scenario)


def test_another_user_gets_nothing_but_through_the_unix_socket(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        assert (await one.get("/status")).status == 403
        assert (await request(one.unix, "/status")).status == 200

    play(scenario, gate=Gate(find_uid=lambda connection: 4711, uid=1000))


def test_a_session_knows_nothing_of_the_visitors_headers(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        reply = await one.get("/status", Cookie="secret=canary", Authorization="token canary", X_Other="canary")
        payload = get_token_payload(session_token(reply.text))
        assert "canary" not in str(payload)
        assert "canary" not in reply.text
        assert "Set-Cookie" not in reply.headers

    play(scenario)


def test_the_websocket_is_for_our_own_pages_only(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        token = session_token((await one.get("/status")).text)
        assert isinstance(one.port, tuple)
        async with one.joined("/status", token, Origin=f"http://localhost:{one.port[1]}") as live:
            assert live.selected_subprotocol == "bokeh"
            assert "ACK" in str(await live.read_message())
        for origin in ("http://evil.example", "http://localhost:1", "null"):
            with pytest.raises(HTTPClientError, match="403"):
                async with one.joined("/status", token, Origin=origin):
                    pass

    play(scenario)


def test_a_session_that_was_not_signed_here_is_refused(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        token = session_token((await one.get("/status")).text)
        payload, _, signature = token.rpartition(".")
        async with one.joined("/status", f"{payload}.{signature[::-1]}") as live:
            assert await live.read_message() is None
        assert (await one.get("/status?bokeh-session-id=mine")).status == 403

    play(scenario)


def test_a_page_is_fed_until_it_is_closed(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        assert one.cluster.subscriptions == 0
        token = session_token((await one.get("/status")).text)
        async with one.joined("/status", token) as live:
            await soon(lambda: one.cluster.subscriptions == 1)
            assert one.application.idle_seconds == 0
            messages: list[str] = [str(await live.read_message())]
            one.cluster.show(make_view([make_worker("newcomer")]))
            while not any("newcomer" in message for message in messages):
                messages.append(str(await asyncio.wait_for(live.read_message(), 20)))
        await soon(lambda: not one.application._clients)
        for context in one.application.applications.values():
            await context._cleanup_sessions(-1)
        await soon(lambda: one.cluster.subscriptions == 0)
        assert one.application.feed.watchers == 0

    play(scenario)


def test_visits_keep_it_awake(play: Play) -> None:
    async def scenario(one: Dashboard) -> None:
        one.application.last_request -= 100
        assert one.application.idle_seconds > 99
        await one.get("/health", Host="evil.example")
        assert one.application.idle_seconds > 99  # but not everybody's
        await one.get("/health")
        assert one.application.idle_seconds < 50

    play(scenario)


async def _read_all(live: WebSocketClientConnection) -> None:
    while await live.read_message() is not None:
        pass


def _join(base: str, url: str) -> str:
    while url.startswith("../"):
        base, url = base.rpartition("/")[0], url[3:]
    return f"{base}/{url}"
