"""A client's life, without a cluster: what it refuses, what it is before and after, and who is the current one."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest import mock

import pytest

from nbcluster.client import connected
from nbcluster.client.client import Client
from nbcluster.client.target import Target
from nbcluster.commands import Close
from nbcluster.errors import ClosedClientError, TimeoutError
from nbcluster.protocol import messages as m
from tests.support.staged_client import ClientStage, with_client

SOMEWHERE = Target("fake://scheduler", b"token")


class OwnedCluster:
    """A cluster that notes what becomes of it."""

    dashboard_link = "http://here/status"

    def __init__(self) -> None:
        self.log: list[str] = []

    async def _detach(self) -> None:
        self.log.append("let go of")

    async def _close(self) -> None:
        self.log.append("closed")


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"address": 5}, TypeError, "address=5 is neither an address"),
        ({"address": Client}, TypeError, "is neither an address"),
        ({"address": "tcp://x:1", "n_workers": 2}, ValueError, r"Unexpected keyword arguments: \['n_workers'\]"),
        ({"scheduler_file": "f", "n_workers": 2}, ValueError, r"Unexpected keyword arguments: \['n_workers'\]"),
        ({"address": "tcp://x:1", "scheduler_file": "f"}, ValueError, "give one of them"),
        ({"timeout": None}, ValueError, "timeout=None is not allowed"),
        ({"timeout": "soon"}, ValueError, "timeout='soon'"),
        ({"asynchronous": 1}, TypeError, "asynchronous=1"),
        ({"set_as_default": "yes"}, TypeError, "set_as_default='yes'"),
        ({"name": 5}, TypeError, "name=5"),
        ({"cancel_on_interrupt": 1}, TypeError, "cancel_on_interrupt=1"),
    ],
)
def test_what_is_wrong_with_an_argument_is_said_before_anybody_is_asked(
    arguments: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Client(**arguments)


def test_a_client_that_waits_is_refused_on_the_loop_of_its_cluster() -> None:
    class Here:
        asynchronous = True
        scheduler_address = "tcp://127.0.0.1:1"

        def __init__(self) -> None:
            self.loop = asyncio.get_running_loop()

    async def main() -> None:
        with pytest.raises(RuntimeError, match="a client that waits would stop it"):
            Client(Here())

    asyncio.run(main())


def test_before_it_is_awaited_it_says_so() -> None:
    async def main() -> None:
        client = Client(SOMEWHERE, asynchronous=True)
        assert client.status == "connecting"
        with pytest.raises(ClosedClientError, match="await it first"):
            client.submit(abs, 1)
        with pytest.raises(TypeError, match="use 'async with'"):
            client.__enter__()
        await client.close()
        assert client.status == "closed"

    asyncio.run(main())


@with_client
async def test_it_has_an_id_and_a_status(stage: ClientStage, client: Client) -> None:
    assert client.status == "running"
    assert client.id.startswith("Client-nbcluster-")
    assert await client is client, "to await it twice connects once"
    await client.close()
    assert client.status == "closed"
    assert stage.link.closed
    await client.close()


@with_client
async def test_a_client_whose_cluster_is_gone_is_closed_and_says_why(stage: ClientStage, client: Client) -> None:
    stage.hear(m.Stopping("the server was shut down"))
    assert client.status == "closed"
    with pytest.raises(ClosedClientError, match="the server was shut down"):
        client.submit(abs, 1)


@with_client
async def test_it_is_the_current_client_as_long_as_it_is_open(stage: ClientStage, client: Client) -> None:
    assert Client.current() is client
    await client.close()
    with pytest.raises(ValueError, match="No clients found"):
        Client.current()


def test_one_that_is_not_to_be_the_default_is_current_where_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        stage = ClientStage()
        monkeypatch.setattr(connected, "connect", stage.connect)
        stage.show()
        async with Client(SOMEWHERE, asynchronous=True, set_as_default=False) as client:
            with pytest.raises(ValueError, match="No clients found"):
                Client.current()
            with client.as_current() as current:
                assert current is client
                assert Client.current(allow_global=False) is client

    asyncio.run(main())


def test_a_cluster_that_it_made_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = OwnedCluster()

    async def main() -> None:
        stage = ClientStage()
        stage.show()
        monkeypatch.setattr(connected, "connect", stage.connect)
        async with Client(Target("fake://x", b"", cluster, owned=True), asynchronous=True) as client:
            assert (client.cluster, cluster.log) == (cluster, [])
            assert client.dashboard_link == "http://here/status"

    asyncio.run(main())
    assert cluster.log == ["let go of"]


def test_a_cluster_that_it_made_goes_too_if_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = OwnedCluster()

    async def nobody(*args: Any, **options: Any) -> Any:
        raise TimeoutError("nobody answers")

    async def main() -> None:
        monkeypatch.setattr(connected, "connect", nobody)
        with pytest.raises(TimeoutError, match="nobody answers"):
            await Client(Target("fake://x", b"", cluster, owned=True), asynchronous=True)

    asyncio.run(main())
    assert cluster.log == ["let go of"]


def test_shutdown_closes_a_cluster_object_whoever_made_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = OwnedCluster()

    async def main() -> None:
        stage = ClientStage()
        stage.show()
        monkeypatch.setattr(connected, "connect", stage.connect)
        client = await Client(Target("fake://x", b"", cluster), asynchronous=True)
        await client.shutdown()
        assert client.status == "closed"

    asyncio.run(main())
    assert cluster.log == ["closed"]


@with_client
async def test_shutdown_without_a_cluster_object_asks_the_cluster(stage: ClientStage, client: Client) -> None:
    stage.answers[Close] = lambda: None
    await client.shutdown()
    assert [call.command for call in stage.link.said(m.Call)][-1] == Close(reason="a client asked for it")
    assert client.status == "closed"


@with_client
async def test_those_at_the_same_cluster_know_of_each_other(stage: ClientStage, client: Client) -> None:
    other = ClientStage()
    other.show()
    with mock.patch.object(connected, "connect", other.connect):
        async with Client(SOMEWHERE, asynchronous=True) as second:
            assert client._others_here() == [second]
    assert client._others_here() == []
