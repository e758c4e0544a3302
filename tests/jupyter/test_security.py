"""Who gets in: rows 39, 42, 43 and 44 of the table of faults, on every route that the extension has."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPResponse
from tornado.web import RequestHandler

from nbcluster.jupyter.connection_file import ENVIRONMENT_VARIABLE
from nbcluster.jupyter.extension import NbclusterExtension
from tests.support.fake_engine import FakeEngine

CLUSTER = "0123456789abcdef"

Route = tuple[str, str]


class Stranger:
    """Sends requests with exactly the headers that it is told to."""

    def __init__(self, client: Any, base: str) -> None:
        self._client = client
        self._base = base

    async def __call__(self, method: str, path: str, **headers: str) -> HTTPResponse:
        response: HTTPResponse = await self._client.fetch(
            self._base.rstrip("/") + path,
            method=method,
            headers=headers,
            body=b"{}" if method in ("POST", "PUT", "PATCH") else None,
            allow_nonstandard_methods=True,
            follow_redirects=False,
            raise_error=False,
        )
        return response


@pytest.fixture
def stranger(app: NbclusterExtension, http_server_client: Any, jp_base_url: str) -> Stranger:
    return Stranger(http_server_client, jp_base_url)


@pytest.fixture
def our_routes(app: NbclusterExtension) -> list[Route]:
    """Every method of every handler that answers below our prefixes, with a path that leads there."""
    routes = list(_routes(app.serverapp.web_app, app.serverapp.base_url))  # type: ignore[union-attr]
    paths = {path for _, path in routes}
    for end in ("/logs", "/capacity", f"/dashboard/{CLUSTER}/status"):
        assert any(path.endswith(end) for path in paths), end
    assert len(routes) > 15
    return routes


def _routes(web_app: Any, base: str) -> Iterator[Route]:
    for group in web_app.default_router.rules:
        for rule in getattr(group.target, "rules", []):
            pattern = rule.matcher.regex.pattern.removesuffix("$")
            if not pattern.startswith(f"{base}nbcluster"):
                continue
            path = _path_to(rule.matcher.regex, base)
            for method in rule.target.SUPPORTED_METHODS:
                function = getattr(rule.target, method.lower())
                if function is not RequestHandler._unimplemented_method and method != "OPTIONS":
                    yield method, path


def _path_to(pattern: re.Pattern[str], base: str) -> str:
    """Some path below ``base`` that leads to a route."""
    text = pattern.pattern.removesuffix("$")
    groups = re.compile(r"\((?:[^()]|\([^()]*\))*\)[?*]?")
    for fillings in itertools.product((CLUSTER, "/status", "status"), repeat=len(groups.findall(text))):
        rest = iter(fillings)
        path = groups.sub(lambda _, rest=rest: next(rest), text)  # type: ignore[misc]
        if pattern.match(path):
            return "/" + path.removeprefix(base)
    raise AssertionError(f"no path leads to {text}")


async def test_every_method_of_every_route_wants_credentials(
    stranger: Stranger, our_routes: list[Route], engines: list[FakeEngine]
) -> None:
    for method, path in our_routes:
        response = await stranger(method, path)
        if response.code == 302:  # a page, not the API: to the login form
            assert "/login" in response.headers["Location"], (method, path)
        else:
            assert response.code in (401, 403), (method, path, response.code)
    assert engines == []


async def test_a_wrong_token_is_as_good_as_none(stranger: Stranger, our_routes: list[Route]) -> None:
    for method, path in our_routes:
        for authorization in ("token wrong", "token ", "Bearer x", "Basic Og=="):
            response = await stranger(method, path, Authorization=authorization)
            assert response.code in (302, 401, 403), (method, path, response.code)


async def test_a_preflight_tells_nothing(stranger: Stranger) -> None:
    response = await stranger("OPTIONS", "/nbcluster/api/v1/clusters")
    assert response.body == b""


async def _log_in(stranger: Stranger, app: NbclusterExtension) -> tuple[str, str]:
    """The cookies of a browser that is logged in, and its XSRF token."""
    token = app.serverapp.identity_provider.token  # type: ignore[union-attr]
    cookies: SimpleCookie = SimpleCookie()
    for path in (f"/api/status?token={token}", "/login"):
        for cookie in (await stranger("GET", path)).headers.get_list("Set-Cookie"):
            cookies.load(cookie)
    jar = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
    return jar, cookies["_xsrf"].value


async def test_pages_of_other_sites_and_rebound_names_get_nothing(
    stranger: Stranger, our_routes: list[Route], app: NbclusterExtension, engines: list[FakeEngine]
) -> None:
    jar, xsrf = await _log_in(stranger, app)
    good = {"Cookie": jar, "X-XSRFToken": xsrf}
    assert (await stranger("GET", "/nbcluster/api/v1/clusters", **good)).code == 200
    for method, path in our_routes:
        for bad in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
            response = await stranger(method, path, **good, **bad)
            assert response.code in (403, 404), (method, path, bad, response.code)
    assert engines == []


async def test_a_logged_in_browser_must_prove_that_the_request_is_its_own(
    stranger: Stranger, our_routes: list[Route], app: NbclusterExtension, engines: list[FakeEngine]
) -> None:
    jar, xsrf = await _log_in(stranger, app)
    writing = [(method, path) for method, path in our_routes if method not in ("GET", "HEAD")]
    assert len(writing) > 8
    for method, path in writing:
        response = await stranger(method, path, Cookie=jar)
        assert response.code == 403, (method, path, response.code)
        assert b"_xsrf" in response.body
    assert engines == []
    # With it, the same browser is let in: the cookie was good.
    response = await stranger("POST", "/nbcluster/api/v1/clusters", Cookie=jar, **{"X-XSRFToken": xsrf})
    assert response.code == 201
    assert len(engines) == 1


async def test_the_authorizer_is_asked_for_every_method(
    our_routes: list[Route], app: NbclusterExtension, jp_fetch: Callable[..., Any], stranger: Stranger
) -> None:
    asked: list[tuple[str, str]] = []

    def refuse(handler: Any, user: Any, action: str, resource: str) -> bool:
        asked.append((action, resource))
        return False

    server = app.serverapp
    assert server is not None
    server.web_app.settings["authorizer"].is_authorized = refuse
    header = f"token {server.identity_provider.token}"
    for method, path in our_routes:
        asked.clear()
        response = await stranger(method, path, Authorization=header)
        assert response.code == 403, (method, path, response.code)
        assert asked == [("read" if method in ("GET", "HEAD") else "write", "nbcluster")], (method, path)


def _connection_file() -> tuple[Path, dict[str, Any]]:
    path = Path(os.environ[ENVIRONMENT_VARIABLE])
    return path, json.loads(path.read_text())


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def _exists(path: Path) -> bool:
    return os.path.lexists(path)


async def test_no_secret_of_ours_is_where_others_look(
    app: NbclusterExtension, jp_fetch: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    path, content = _connection_file()
    canary = content["token"]
    assert len(canary) == 64
    assert _mode(path) == 0o600
    await jp_fetch("nbcluster", "api", "v1", "clusters", method="POST", body="{}")
    response = await jp_fetch("nbcluster", "api", "v1", "clusters")
    places = {
        "environment": "\n".join(os.environ.values()),
        "argv and environment of all our processes": _processes(),
        "answers": response.body.decode() + str(response.headers),
        "log": caplog.text,
        "repr": repr((app, app.manager, app.channel, vars(app.channel))),
    }
    assert not [name for name, text in places.items() if canary in text]


def _processes() -> str:
    return subprocess.run(["ps", "axeww"], capture_output=True, text=True, check=True).stdout


async def test_the_sockets_directory_is_private_and_goes_with_the_server(app: NbclusterExtension) -> None:
    path, content = _connection_file()
    socket = Path(content["address"].removeprefix("unix://"))
    assert _mode(socket) == 0o600
    assert _mode(socket.parent) == 0o700
    await app.stop_extension()
    assert not _exists(path)
    assert not _exists(socket.parent)
    assert ENVIRONMENT_VARIABLE not in os.environ
