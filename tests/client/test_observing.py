"""What a client says of its cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from nbcluster.client.client import Client
from nbcluster.client.observing import info_of_view
from nbcluster.errors import WorkerStartTimeoutError
from nbcluster.protocol import messages as m
from nbcluster.types import Status
from tests.support.fake_cluster import make_view, make_worker
from tests.support.staged_client import ClientStage, with_client

GIB = 2**30
STARTING = replace(make_worker(1), address="", status=Status.STARTING)


def test_the_information_is_of_workers_that_have_joined() -> None:
    info = info_of_view(make_view([make_worker(0, nthreads=4), STARTING], id="c1", address="tcp://127.0.0.1:1"))
    assert (info["id"], info["address"], info["services"]) == ("c1", "tcp://127.0.0.1:1", {})
    assert (info["n_workers"], info["total_threads"], info["total_memory"]) == (1, 4, GIB)
    [(address, worker)] = info["workers"].items()
    assert address == "tcp://127.0.0.1:40000"
    assert (worker["host"], worker["name"], worker["status"]) == ("127.0.0.1", 0, "running")


def test_only_so_many_workers_are_described_as_are_asked_for_but_all_are_counted() -> None:
    info = info_of_view(make_view(3), n_workers=1)
    assert (len(info["workers"]), info["n_workers"]) == (1, 3)
    assert info_of_view(make_view(3), n_workers=0)["workers"] == {}


def test_the_dashboard_is_a_service_with_its_port() -> None:
    view = make_view(0, dashboard_link="http://127.0.0.1:8787/status")
    assert info_of_view(view)["services"] == {"dashboard": 8787}


@with_client
async def test_information_is_there_at_once_and_anew_when_it_is_awaited(stage: ClientStage, client: Client) -> None:
    stage.show(make_view(5))
    info = client.scheduler_info()
    assert info["n_workers"] == 2
    assert (await info)["n_workers"] == 5


@with_client
async def test_threads_are_those_of_the_workers_that_are_named_by_name_or_address(
    stage: ClientStage, client: Client
) -> None:
    stage.show(make_view([make_worker(0, nthreads=2), make_worker("ada", nthreads=4), STARTING]))
    first, ada = "tcp://127.0.0.1:40000", "tcp://127.0.0.1:40999"
    assert await client.nthreads() == {first: 2, ada: 4}
    assert await client.nthreads(["ada"]) == {ada: 4}
    assert await client.ncores([first, "nobody"]) == {first: 2}


@with_client
async def test_futures_are_known_by_key_until_they_are_cancelled(stage: ClientStage, client: Client) -> None:
    good, bad = client.map(abs, [1, 2])
    stage.done(good.key, 1)
    assert {key: state.status for key, state in client.futures.items()} == {good.key: "finished", bad.key: "pending"}
    await client.cancel(bad)
    assert list(client.futures) == [good.key]


@with_client
async def test_workers_are_waited_for_until_enough_of_them_run(stage: ClientStage, client: Client) -> None:
    starting = make_view([make_worker(0), STARTING])
    stage.show(starting, starting, make_view(2))
    await client.wait_for_workers(2)
    assert (await client.scheduler_info())["n_workers"] == 2


@with_client
async def test_workers_that_do_not_come_are_counted_in_the_error(stage: ClientStage, client: Client) -> None:
    with pytest.raises(WorkerStartTimeoutError, match="Only 2/5 workers"):
        await client.wait_for_workers(5, timeout=0)


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "2"])
def test_a_number_of_workers_to_wait_for_is_a_whole_number(count: Any) -> None:
    @with_client
    async def test(stage: ClientStage, client: Client) -> None:
        with pytest.raises(ValueError, match=f"n_workers={count!r}"):
            client.wait_for_workers(count)

    test()


def test_a_scheduler_file_tells_others_where_to_go(tmp_path: Path) -> None:
    @with_client
    async def test(stage: ClientStage, client: Client) -> None:
        stage.show(make_view(address="tcp://127.0.0.1:8786"))
        await client.write_scheduler_file(tmp_path / "scheduler.json")
        assert json.loads((tmp_path / "scheduler.json").read_text())["address"] == "tcp://127.0.0.1:8786"
        client.scheduler_file = "there.json"
        with pytest.raises(ValueError, match=r"there\.json"):
            client.write_scheduler_file(tmp_path / "another.json")

    test()


@with_client
async def test_it_shows_where_it_is_connected_and_how_large_that_is(stage: ClientStage, client: Client) -> None:
    assert repr(client) == "<Client: 'tcp://127.0.0.1:8786' processes=2 threads=2, memory=2.00 GiB>"
    assert client._repr_html_() == (
        "<b>Client</b> &#x27;tcp://127.0.0.1:8786&#x27; processes=2 threads=2, memory=2.00 GiB"
        '<br><b>Dashboard</b> <a href="http://127.0.0.1:8787/status" target="_blank">http://127.0.0.1:8787/status</a>'
    )
    assert client.scheduler.address == "tcp://127.0.0.1:8786"
    assert client.dashboard_link == "http://127.0.0.1:8787/status"
    stage.hear(m.Stopping("enough"))
    assert repr(client) == "<Client: No scheduler connected>"


@with_client
async def test_memory_is_not_shown_if_one_worker_has_no_limit(stage: ClientStage, client: Client) -> None:
    stage.show(make_view([make_worker(0), make_worker(1, memory_limit=None)]))
    await client.nthreads()
    assert repr(client) == "<Client: 'tcp://127.0.0.1:8786' processes=2 threads=2>"
