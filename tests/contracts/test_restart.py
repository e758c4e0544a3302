"""``restart``, ``restart_workers`` and ``retire_workers``."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.contracts.gates import Gate, at_gate, inc


def addresses(client: Any) -> list[str]:
    return list(client.scheduler_info()["workers"])


def name_of(client: Any, address: str) -> Any:
    return client.scheduler_info()["workers"][address]["name"]


def test_restart_forgets_all_and_brings_new_workers(api: Any, keywords: Any) -> None:
    with api.Client(**keywords(processes=True)) as client:
        before = set(client.run(os.getpid).values())
        future = client.submit(inc, 1)
        future.result()
        client.restart(timeout=60)
        assert future.status == "cancelled"
        after = set(client.run(os.getpid).values())
        assert len(after) == 2
        assert not before & after
        assert client.submit(inc, 1).result() == 2


def test_restart_need_not_wait_for_the_new_workers(api: Any, keywords: Any) -> None:
    with api.Client(**keywords(processes=True, n_workers=1)) as client:
        before = set(client.run(os.getpid).values())
        future = client.submit(inc, 1)
        future.result()
        client.restart(timeout=60, wait_for_workers=False)
        assert future.status == "cancelled"
        client.wait_for_workers(1, timeout=60)
        assert not before & set(client.run(os.getpid).values())


def test_a_worker_that_is_not_back_in_time_is_an_error_or_told(api: Any, keywords: Any) -> None:
    with api.Client(**keywords(processes=True)) as client:
        first, second = addresses(client)
        assert client.restart_workers([first], timeout="1 us", raise_for_error=False) == {first: "timed out"}
        with pytest.raises(api.TimeoutError):
            client.restart_workers([second], timeout="1 us", raise_for_error=True)


def test_some_workers_are_restarted_and_the_others_go_on(api: Any, keywords: Any) -> None:
    with api.Client(**keywords(processes=True)) as client:
        before = client.run(os.getpid)
        kept, renewed = before
        name = name_of(client, renewed)
        assert client.restart_workers([renewed], timeout=60) == {renewed: "OK"}
        after = client.run(os.getpid)
        assert len(after) == 2
        assert after[kept] == before[kept]
        assert not set(before.values()) - {before[kept]} & set(after.values())
        assert name in [info["name"] for info in client.scheduler_info()["workers"].values()]


def test_a_retired_worker_is_gone_and_its_results_are_kept(api: Any, keywords: Any) -> None:
    with api.Client(**keywords()) as client:
        leaving, staying = addresses(client)
        futures = client.map(inc, range(10), workers=[leaving])
        client.gather(futures)
        [data] = client.scatter([[1, 2, 3]], workers=[leaving])
        gone = client.retire_workers(workers=[leaving])
        assert list(gone) == [leaving]
        assert addresses(client) == [staying]
        assert client.gather(futures) == list(range(1, 11))
        assert data.result() == [1, 2, 3]


@pytest.mark.differs("retiring workers finish")
def test_a_retiring_worker_ends_what_it_has_begun(api: Any, keywords: Any, gate: Gate) -> None:
    with api.Client(**keywords()) as client:
        leaving = addresses(client)[0]
        future = client.submit(at_gate, gate, "done", workers=[leaving])
        gate.wait_for_visitors()
        gate.open()
        client.retire_workers(workers=[leaving])
        assert future.result() == "done"


@pytest.mark.differs("restart threads")
def test_workers_that_are_threads_restart_as_well(api: Any, keywords: Any) -> None:
    with api.Client(**keywords()) as client:
        before = set(addresses(client))
        client.restart()
        after = set(addresses(client))
        assert len(after) == 2
        assert client.restart_workers(["0"]) == {"0": "OK"}
        assert client.submit(inc, 1).result() == 2
        assert before is not after


@pytest.mark.differs("retire threads")
def test_a_cluster_that_let_a_worker_go_has_room_for_another(api: Any, keywords: Any) -> None:
    with api.Client(**keywords()) as client:
        client.retire_workers([addresses(client)[0]])
        assert len(client.cluster.requested) == 1
        client.cluster.scale(2)
        client.wait_for_workers(2, timeout=30)
        assert client.submit(inc, 1).result() == 2


@pytest.mark.differs("retire threads")
def test_without_names_those_go_that_have_nothing_to_do(api: Any, keywords: Any) -> None:
    with api.Client(**keywords(n_workers=3)) as client:
        busy = addresses(client)[1]
        future = client.submit(inc, 1, workers=[busy])
        future.result()
        assert len(client.retire_workers(n=1)) == 1
        assert len(client.retire_workers()) == 1
        assert addresses(client) == [busy]
        assert client.retire_workers() == {}


@pytest.mark.differs("retire threads")
def test_a_retired_worker_that_is_not_closed_stays_without_tasks(api: Any, keywords: Any) -> None:
    with api.Client(**keywords()) as client:
        idle, working = addresses(client)
        client.retire_workers([idle], close_workers=False)
        assert client.scheduler_info()["workers"][idle]["status"] == "retiring"
        futures = client.map(inc, range(20))
        client.gather(futures)
        held = client.run(lambda dask_worker: len(dask_worker.data))
        assert held == {idle: 0, working: 20}


@pytest.mark.differs("bad input")
def test_what_cannot_be_is_refused(client: Any) -> None:
    with pytest.raises(ValueError, match="'nobody' is no worker of this cluster; there are"):
        client.retire_workers(["nobody"])
    with pytest.raises(ValueError, match="'nobody' is no worker"):
        client.restart_workers(["nobody"])
    with pytest.raises(ValueError, match="n=-1 is out of range"):
        client.retire_workers(n=-1)
