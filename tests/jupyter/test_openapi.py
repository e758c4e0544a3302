"""The OpenAPI document against its module, the routes, and what the live server answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tornado.httpclient import HTTPResponse
from tornado.web import RequestHandler

from nbcluster.jupyter import openapi
from nbcluster.jupyter.events import EVENT_ID
from nbcluster.jupyter.extension import NbclusterExtension
from nbcluster.jupyter.handlers import NothingHandler, routes
from nbcluster.types import Status
from tests.support.eventually import soon
from tests.support.fake_engine import FakeEngine

DOCUMENT: dict[str, Any] = json.loads(openapi.FILE.read_text())


def test_the_file_is_what_the_module_makes() -> None:
    assert openapi.FILE.read_text() == openapi.text(), "run: python -m nbcluster.jupyter.openapi"


def test_the_document_names_exactly_the_routes_that_there_are() -> None:
    described = {
        (path, method) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"
    }
    served = {
        (re.sub(r"\([^()]*\)", "{id}", pattern), method.lower())
        for pattern, handler, _ in routes(None)  # type: ignore[arg-type]  # not used before a request comes
        if handler is not NothingHandler
        for method in RequestHandler.SUPPORTED_METHODS
        if method != "OPTIONS" and getattr(handler, method.lower()) is not RequestHandler._unimplemented_method
    }
    assert described == served


def test_every_reference_leads_somewhere() -> None:
    names = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT))
    assert set(names) <= set(DOCUMENT["components"]["schemas"])
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


class Checked:
    """Sends requests, and holds every answer against the document."""

    def __init__(self, fetch: Callable[..., Any]) -> None:
        self._fetch = fetch
        self.seen: set[tuple[str, str, str]] = set()

    async def __call__(self, method: str, path: str, body: Any = None, **names: str) -> Any:
        data = body if isinstance(body, (str, type(None))) else json.dumps(body)
        response: HTTPResponse = await self._fetch(
            (openapi.PREFIX + path).format(**names),
            method=method,
            body=data,
            allow_nonstandard_methods=True,
            raise_error=False,
        )
        status = str(response.code)
        answers = DOCUMENT["paths"][openapi.PREFIX + path][method.lower()]["responses"]
        assert status in answers, (method, path, status, response.body)
        self.seen.add((method, path, status))
        if "content" not in answers[status]:
            assert response.body == b""
            return None
        assert response.headers["Content-Type"] == "application/json"
        answer = json.loads(response.body)
        schema = answers[status]["content"]["application/json"]["schema"]
        jsonschema.validate(answer, {**schema, "components": DOCUMENT["components"]})
        return answer


@pytest.fixture
def send(app: NbclusterExtension, jp_fetch: Callable[..., Any]) -> Checked:
    return Checked(jp_fetch)


async def test_the_live_server_answers_as_described(send: Checked, engines: list[FakeEngine]) -> None:
    one = "/clusters/{id}"
    made = await send("POST", "/clusters", {"n_workers": 2, "name": "<b>", "adapt": None})
    name = {"id": made["id"]}
    await soon(lambda: engines[0].status is Status.RUNNING)
    engines[0].log("a line", worker=0)
    await send("GET", "/clusters")
    await send("GET", "/capacity")
    await send("GET", one, **name)
    await send("PATCH", one, {"keep": True}, **name)
    await send("POST", f"{one}/scale", {"n": 1}, **name)
    await send("POST", f"{one}/adapt", {"minimum": 0, "maximum": 2}, **name)
    await send("DELETE", f"{one}/adapt", **name)
    await send("POST", f"{one}/restart", **name)
    assert (await send("GET", f"{one}/logs", **name))["last"] == 1
    for path, body in ((one, {"name": ""}), (f"{one}/scale", {"n": -1}), (f"{one}/adapt", {"minimum": "x"})):
        await send("PATCH" if path == one else "POST", path, body, **name)
        await send("PATCH" if path == one else "POST", path, "{", **name)
    await send("POST", "/clusters", {"n_workers": "two"})
    await send("POST", "/clusters", "{")
    engines[0].die("gone")
    for method, path in (("POST", f"{one}/restart"), ("DELETE", f"{one}/adapt"), ("GET", f"{one}/logs")):
        await send(method, path, **name)
    await send("POST", f"{one}/scale", {"n": 1}, **name)
    await send("POST", f"{one}/adapt", {}, **name)
    await send("DELETE", one, **name)
    for path, item in DOCUMENT["paths"].items():
        for method in item.keys() - {"parameters"}:
            if "{id}" in path:
                await send(method.upper(), path.removeprefix(openapi.PREFIX), "{}", **name)
    described = {
        (method.upper(), path.removeprefix(openapi.PREFIX), status)
        for path, item in DOCUMENT["paths"].items()
        for method in item.keys() - {"parameters"}
        for status in item[method]["responses"]
    }
    # Those without credentials are in test_security; wrong queries and impatient ones in test_handlers.
    unseen = {answer for answer in described - send.seen if answer[2] not in ("403", "503")}
    assert unseen == {("GET", f"{one}/logs", "422")}


async def test_events_are_as_described(app: NbclusterExtension, send: Checked, engines: list[FakeEngine]) -> None:
    heard: list[dict[str, Any]] = []

    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        heard.append(data)

    assert app.serverapp is not None
    assert app.serverapp.event_logger is not None
    app.serverapp.event_logger.add_listener(schema_id=EVENT_ID, listener=listen)
    made = await send("POST", "/clusters", {})
    await soon(lambda: engines[0].status is Status.RUNNING)
    await send("DELETE", "/clusters/{id}", id=made["id"])
    await soon(lambda: heard and heard[-1]["action"] == "removed")
    assert heard[0]["action"] == "created"
    assert {event["id"] for event in heard} == {made["id"]}
    assert "running" in [event["cluster"]["status"] for event in heard]
    [schema] = DOCUMENT["x-jupyter-events"]
    view = {"$ref": "#/components/schemas/ClusterView", "components": DOCUMENT["components"]}
    for event in heard:
        jsonschema.validate(event, schema)
        jsonschema.validate(event["cluster"], view)
