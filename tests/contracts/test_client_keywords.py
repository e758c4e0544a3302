"""How clients are made, beyond an address and a cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.gates import Mishap, fail_with, inc


@pytest.fixture(scope="module")
def remote(api: Any, package: str, keywords: Callable[..., dict[str, Any]]) -> Iterator[Any]:
    """A client of a cluster that others reach, too."""
    with (
        api.LocalCluster(**keywords(protocol="tcp")) as cluster,
        api.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def scheduler_file(remote: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("scheduler") / "scheduler.json")
    remote.write_scheduler_file(path)
    return path


def test_a_scheduler_file_tells_others_where_the_cluster_is(
    api: Any, remote: Any, scheduler_file: str, tmp_path: Path
) -> None:
    assert json.loads(Path(scheduler_file).read_text())["address"] == remote.scheduler_info()["address"]
    with api.Client(scheduler_file=scheduler_file, set_as_default=False) as other:
        assert other.scheduler_file == scheduler_file
        assert other.submit(inc, 1).result() == 2
        with pytest.raises(ValueError, match=r"[Ss]cheduler file"):
            other.write_scheduler_file(str(tmp_path / "again.json"))


def test_an_asynchronous_client_takes_a_scheduler_file(api: Any, scheduler_file: str) -> None:
    async def use() -> Any:
        async with api.Client(scheduler_file=scheduler_file, asynchronous=True) as other:
            return await other.submit(inc, 1)

    assert asyncio.run(use()) == 2


@pytest.mark.differs("bad input")
def test_a_scheduler_file_that_is_none_is_refused(api: Any, tmp_path: Path) -> None:
    with pytest.raises(api.TimeoutError, match="was not there after"):
        api.Client(scheduler_file=tmp_path / "never.json", timeout=0.05)
    (tmp_path / "other.json").write_text('{"host": "x"}')
    with pytest.raises(ValueError, match="does not say where a scheduler is"):
        api.Client(scheduler_file=tmp_path / "other.json")
    with pytest.raises(ValueError, match="give one of them"):
        api.Client("tcp://127.0.0.1:1", scheduler_file=tmp_path / "other.json")
    with pytest.raises(TypeError, match="scheduler_file=5 is not a path"):
        api.Client(scheduler_file=5)


def test_extensions_are_made_with_the_client(api: Any, cluster: Any) -> None:
    class Extension:
        def __init__(self, client: Any) -> None:
            self.client = client

    with api.Client(cluster, extensions={"mine": Extension}, set_as_default=False) as client:
        assert client.extensions["mine"].client is client


def test_keywords_that_ask_for_what_is_done_anyway_are_accepted(api: Any, cluster: Any) -> None:
    with api.Client(
        cluster,
        loop=None,
        timeout="10 s",
        set_as_default=False,
        name="keywords",
        heartbeat_interval="2 s",
        serializers=["dask", "pickle"],
        deserializers=["dask", "pickle", "error"],
        direct_to_workers=True,
        connection_limit=4,
    ) as client:
        assert client.gather(client.map(inc, range(5))) == [1, 2, 3, 4, 5]
        assert "keywords" in client.id


@pytest.mark.differs("bad input")
@pytest.mark.parametrize(
    ("keyword", "error", "message"),
    [
        ({"heartbeat_interval": []}, TypeError, "heartbeat_interval=.. is not a time"),
        ({"heartbeat_interval": "often"}, ValueError, "heartbeat_interval='often'"),
        ({"serializers": ["msgpack"]}, ValueError, "serializers=.'msgpack'. does not allow 'pickle'"),
        ({"deserializers": "pickle"}, ValueError, "deserializers='pickle'"),
        ({"direct_to_workers": "yes"}, TypeError, "direct_to_workers='yes'"),
        ({"connection_limit": 0}, ValueError, "connection_limit=0"),
        ({"connection_limit": "many"}, TypeError, "connection_limit='many'"),
        ({"extensions": [int]}, TypeError, "extensions=.<class 'int'>. does not map names"),
        ({"timeout": None}, ValueError, "timeout=None"),
        ({"typo": 1}, ValueError, "Unexpected keyword arguments: .'typo'."),
    ],
)
def test_a_wrong_keyword_is_named(api: Any, cluster: Any, keyword: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        api.Client(cluster, **keyword)


@pytest.mark.differs("asynchronous calls")
def test_a_synchronous_client_can_be_awaited_call_by_call(client: Any) -> None:
    async def use() -> Any:
        [future] = await client.scatter([10], asynchronous=True)
        more = client.submit(inc, future)
        values = await client.gather([future, more], asynchronous=True)
        await client.cancel([more], asynchronous=True)
        return values

    assert asyncio.run(use()) == [10, 11]


def test_a_synchronous_client_runs_coroutine_functions(client: Any) -> None:
    async def use(x: int, *, more: int = 0) -> Any:
        future = client.submit(inc, x)
        return await future, await client.gather(client.map(inc, [x, more]), asynchronous=True)

    assert client.sync(use, 10) == (11, [11, 1])
    assert client.sync(use, 10, more=5, callback_timeout="30s") == (11, [11, 6])


@pytest.mark.differs("asynchronous calls")
def test_what_a_synchronous_client_runs_can_be_awaited(client: Any) -> None:
    async def use(x: int) -> Any:
        return await client.submit(inc, x)

    assert asyncio.run(client.sync(use, 1, asynchronous=True)) == 2
    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(client.sync(asyncio.sleep, 3600, asynchronous=True, callback_timeout=0.01))


def test_what_a_client_runs_raises_here(client: Any) -> None:
    async def fail() -> None:
        await client.submit(fail_with, "boom")

    with pytest.raises(Mishap, match="boom"):
        client.sync(fail)


@pytest.mark.differs("given up")
def test_a_client_waits_for_coroutines_as_long_as_it_is_asked_to(api: Any, client: Any) -> None:
    with pytest.raises(api.TimeoutError):
        client.sync(asyncio.sleep, 3600, callback_timeout=0.01)


@pytest.mark.differs("bad input")
def test_only_coroutine_functions_are_run_and_waited_for(client: Any) -> None:
    with pytest.raises(TypeError, match="func=3 cannot be called"):
        client.sync(3)
    with pytest.raises(TypeError, match="returned 2, which cannot be awaited"):
        client.sync(inc, 1)
