from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError, HTTPResponse

from nbcluster.engines import registry
from nbcluster.jupyter.extension import NbclusterExtension
from nbcluster.types import Status
from tests.support.eventually import soon
from tests.support.fake_engine import FakeEngine

API = ("nbcluster", "api", "v1")


class Api:
    """The REST API, as the front end uses it."""

    def __init__(self, fetch: Callable[..., Any]) -> None:
        self.fetch = fetch

    async def raw(self, method: str, *path: str, body: Any = None, **more: Any) -> HTTPResponse:
        if body is not None:
            more["body"] = json.dumps(body)
        response: HTTPResponse = await self.fetch(*API, *path, method=method, allow_nonstandard_methods=True, **more)
        return response

    async def __call__(self, method: str, *path: str, body: Any = None, **more: Any) -> Any:
        response = await self.raw(method, *path, body=body, **more)
        return json.loads(response.body) if response.body else None

    async def refused(self, method: str, *path: str, body: Any = None, **more: Any) -> tuple[int, str, str]:
        """The status, the word and the sentence of an answer that is no success."""
        with pytest.raises(HTTPClientError) as caught:
            await self.raw(method, *path, body=body, **more)
        assert caught.value.response is not None
        answer = json.loads(caught.value.response.body)
        assert set(answer) == {"message", "reason"}
        return caught.value.code, answer["reason"], answer["message"]


@pytest.fixture
def api(app: NbclusterExtension, jp_fetch: Callable[..., Any]) -> Api:
    return Api(jp_fetch)


async def test_a_cluster_from_its_making_to_its_end(api: Api, engines: list[FakeEngine]) -> None:
    assert await api("GET", "clusters") == []
    response = await api.raw("POST", "clusters", body={"name": "mine", "n_workers": 2})
    assert response.code == 201
    made = json.loads(response.body)
    assert made["status"] in ("created", "starting")
    assert response.headers["Location"] == f"/some/where/nbcluster/api/v1/clusters/{made['id']}"
    one = ("clusters", made["id"])
    await soon(lambda: engines[0].status is Status.RUNNING)
    seen = await api("GET", *one)
    assert (seen["name"], seen["status"], len(seen["workers"])) == ("mine", "running", 2)
    assert seen["dashboard_link"] == f"/some/where/nbcluster/dashboard/{made['id']}/status"
    assert seen["owner"]["kind"] == "none"
    assert [each["id"] for each in await api("GET", "clusters")] == [made["id"]]
    assert len((await api("POST", *one, "scale", body={"n": 3}))["workers"]) == 3
    assert (await api("POST", *one, "adapt", body={"minimum": 1}))["adaptive"]["minimum"] == 1
    assert (await api("DELETE", *one, "adapt"))["adaptive"] is None
    assert (await api("POST", *one, "restart"))["status"] == "running"
    assert (await api("PATCH", *one, body={"name": "yours", "keep": True}))["name"] == "yours"
    response = await api.raw("DELETE", *one)
    assert (response.code, response.body) == (204, b"")
    assert engines[0].status is Status.CLOSED
    assert (await api.refused("GET", *one))[:2] == (404, "not_found")


async def test_an_empty_body_makes_a_cluster_with_defaults(api: Api, engines: list[FakeEngine]) -> None:
    await api("POST", "clusters")
    assert engines[0].spec.keywords == {"memory_limit": "auto"}


async def test_logs_can_be_followed_and_filtered(api: Api, engines: list[FakeEngine]) -> None:
    made = await api("POST", "clusters")
    one = ("clusters", made["id"], "logs")
    engines[0].log("first", worker=0)
    engines[0].log("second", level="ERROR", worker="named")
    answer = await api("GET", *one)
    assert [line["text"] for line in answer["lines"]] == ["first", "second"]
    assert answer["last"] == 2
    assert (await api("GET", *one, params={"after": 2})) == {"lines": [], "last": 2}
    queries: list[tuple[dict[str, str], str]] = [
        ({"worker": "0"}, "first"),
        ({"worker": "named"}, "second"),
        ({"level": "ERROR"}, "second"),
    ]
    for query, text in queries:
        assert [line["text"] for line in (await api("GET", *one, params=query))["lines"]] == [text]
    assert len((await api("GET", *one, params={"limit": 1}))["lines"]) == 1
    for wrong in ({"after": "x"}, {"limit": "0"}, {"after": "-1"}):
        assert (await api.refused("GET", *one, params=wrong))[0] == 422


async def test_the_capacity_says_why(api: Api) -> None:
    answer = await api("GET", "capacity")
    assert answer["workers"]["value"] >= 1
    assert all(answer[name]["reason"] for name in ("cpus", "memory", "workers"))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"n": -1}, "n"),
        ({"n": "3"}, "n"),
        ({"n": 1.5}, "n"),
        ({"n": True}, "n"),
        ({"n": 10**30}, "n"),
        ({}, "n"),
        ({"n": 1, "evil": 2}, "evil"),
        ([1], "object"),
    ],
)
async def test_a_wrong_body_is_named(api: Api, body: Any, says: str) -> None:
    made = await api("POST", "clusters")
    status, word, message = await api.refused("POST", "clusters", made["id"], "scale", body=body)
    assert (status, word) == (422, "invalid")
    assert says in message


async def test_a_body_that_is_no_json_is_a_bad_request(api: Api) -> None:
    for data in (b"{", b"\xff", b'{"name": "\xff"}', b"nope"):
        with pytest.raises(HTTPClientError) as caught:
            await api.fetch(*API, "clusters", method="POST", body=data)
        assert caught.value.code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"n_workers": -1},
        {"threads_per_worker": 0},
        {"adapt": {"minimum": 3, "maximum": 1}},
        {"kernel_name": "x"},
        {"memory_limit": "abc"},
        {"memory_limit": -1},
    ],
)
async def test_a_cluster_that_cannot_be_is_refused_at_once(
    api: Api, engines: list[FakeEngine], body: dict[str, Any]
) -> None:
    status, word, _ = await api.refused("POST", "clusters", body=body)
    assert (status, word) == (422, "invalid")
    assert engines == []
    assert await api("GET", "clusters") == []


async def test_a_starting_cluster_asks_for_patience(api: Api) -> None:
    registry.register("fake", lambda spec: FakeEngine(spec, held=True))
    made = await api("POST", "clusters")
    status, word, message = await api.refused("POST", "clusters", made["id"], "scale", body={"n": 1})
    assert (status, word) == (503, "starting")
    assert "still starting" in message
    assert (await api("GET", "clusters", made["id"]))["message"] == "Starting the cluster's process"


async def test_a_failed_cluster_is_a_conflict_and_says_why(api: Api, engines: list[FakeEngine]) -> None:
    made = await api("POST", "clusters")
    await soon(lambda: engines[0].status is Status.RUNNING)
    engines[0].die("killed by SIGKILL")
    status, word, _ = await api.refused("POST", "clusters", made["id"], "restart")
    assert (status, word) == (409, "closed")
    assert (await api("GET", "clusters", made["id"]))["message"] == "killed by SIGKILL"
    await api("DELETE", "clusters", made["id"])


@pytest.mark.parametrize(
    "cluster_id",
    [
        "..",
        "%2e%2e",
        "../../etc/passwd",
        "%2e%2e%2fapi",
        "0123456789abcdeF",
        "0123456789abcde",
        "0123456789abcdef0",
        "0123456789abcdef%00",
        "0123456789abcdef%0a",
        "\uff10123456789abcdef",
        "0123456789abcdef",
    ],
)
async def test_an_id_that_the_server_did_not_make_is_not_found(api: Api, cluster_id: str) -> None:
    for method, path in (("GET", ()), ("DELETE", ()), ("POST", ("restart",)), ("GET", ("logs",))):
        status, word, _ = await api.refused(method, "clusters", cluster_id, *path)
        assert (status, word) == (404, "not_found")


async def test_what_is_not_there_is_answered_in_json_too(api: Api) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        assert (await api.refused(method, "nothing", "here"))[:2] == (404, "not_found")
    made = await api("POST", "clusters")
    assert (await api.refused("PUT", "clusters", made["id"]))[0] == 405
