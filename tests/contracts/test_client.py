from __future__ import annotations

import socket
from typing import Any

import pytest

from nbcluster.errors import ClosedClientError
from tests.contracts.gates import Gate, at_gate, inc
from tests.support.eventually import eventually


def test_a_client_makes_a_cluster_of_its_own(api: Any, keywords: Any) -> None:
    with api.Client(**keywords()) as client:
        assert isinstance(client.cluster, api.LocalCluster)
        assert client.submit(inc, 1).result() == 2
        cluster = client.cluster
    assert str(cluster.status).endswith("closed")
    assert client.status == "closed"


def test_a_cluster_that_it_was_given_stays_open(api: Any, cluster: Any, client: Any) -> None:
    with api.Client(cluster, set_as_default=False) as other:
        assert other.cluster is cluster
    assert str(cluster.status).endswith("running")
    assert client.submit(inc, 1).result() == 2


def test_a_client_connects_by_address(api: Any, cluster: Any) -> None:
    with api.Client(cluster.scheduler_address, set_as_default=False) as other:
        assert other.submit(inc, 1).result() == 2


def test_two_clients_share_results(api: Any, client: Any, cluster: Any) -> None:
    mine = client.submit(inc, 1)
    mine.result()
    with api.Client(cluster, set_as_default=False) as other:
        theirs = other.submit(inc, 1)
        assert theirs.key == mine.key
        assert theirs.result() == 2


def test_closing_one_client_leaves_the_others_results(api: Any, client: Any, cluster: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate, 5)
    other = api.Client(cluster, set_as_default=False)
    theirs = other.submit(at_gate, gate, 5)
    assert theirs.key == future.key
    other.close()
    gate.open()
    assert future.result() == 5


def test_closing_twice_is_closing_once(api: Any, cluster: Any) -> None:
    client = api.Client(cluster, set_as_default=False)
    client.close()
    client.close()
    assert client.status == "closed"


def test_a_closed_client_submits_nothing(api: Any, cluster: Any) -> None:
    client = api.Client(cluster, set_as_default=False)
    client.close()
    with pytest.raises(Exception, match=r"[Cc]lient") as caught:
        client.submit(inc, 1)
    assert type(caught.value).__name__ == "ClosedClientError"


def test_closing_cancels_what_is_pending(api: Any, cluster: Any, gate: Gate) -> None:
    client = api.Client(cluster, set_as_default=False)
    future = client.submit(at_gate, gate)
    client.close()
    assert future.status == "cancelled"


@pytest.mark.differs("closed clients")
def test_the_futures_of_a_closed_client_still_tell_what_is_known(api: Any, cluster: Any, gate: Gate) -> None:
    client = api.Client(cluster, set_as_default=False)
    done, pending = client.submit(inc, 1), client.submit(at_gate, gate)
    done.result()
    client.close()
    assert done.result() == 2
    assert isinstance(pending.exception(), api.FutureCancelledError)
    with pytest.raises(api.FutureCancelledError, match="The client was closed"):
        pending.result()
    with pytest.raises(api.FuturesCancelledError):
        api.wait([done, pending])
    assert list(api.as_completed([done, pending])) == [done, pending]
    called: list[Any] = []
    done.add_done_callback(called.append)
    eventually(lambda: called == [done])


@pytest.mark.differs("closed clients")
def test_a_closed_client_says_so(api: Any, cluster: Any) -> None:
    client = api.Client(cluster, set_as_default=False)
    future = client.submit(inc, 1)
    client.close()
    for attempt in (
        lambda: client.map(inc, [1]),
        lambda: client.scatter([1]),
        client.scheduler_info,
        client.nthreads,
        lambda: client.wait_for_workers(1),
        future.cancel,
        future.retry,
    ):
        with pytest.raises(ClosedClientError, match=r"Make a new Client\(\)"):
            attempt()


def test_shutdown_closes_the_cluster_too(api: Any, keywords: Any) -> None:
    cluster = api.LocalCluster(**keywords(n_workers=1))
    client = api.Client(cluster, set_as_default=False)
    client.shutdown()
    assert str(cluster.status).endswith("closed")
    assert client.status == "closed"
    cluster.close()


def test_its_repr_tells_where_it_is_connected(client: Any, cluster: Any) -> None:
    text = repr(client)
    assert text.startswith(f"<Client: {cluster.scheduler_address!r} processes=2 threads=2")
    assert "Client" in client._repr_html_()


def test_in_a_notebook_it_shows_where_the_dashboard_is_however_it_was_connected(api: Any, own: Any) -> None:
    cluster = own(n_workers=0, dashboard_address="127.0.0.1:0", scheduler_kwargs={}, protocol="tcp")
    assert cluster.dashboard_link
    with api.Client(cluster) as first, api.Client(cluster.scheduler_address) as second:
        for client in (first, second):
            assert client.dashboard_link == cluster.dashboard_link
            assert f'<a href="{client.dashboard_link}"' in client._repr_html_()


def test_the_repr_of_a_closed_client_says_so(api: Any, cluster: Any) -> None:
    client = api.Client(cluster, set_as_default=False)
    client.close()
    assert repr(client) == "<Client: No scheduler connected>"


def test_each_client_has_an_id_that_shows_its_name(api: Any, cluster: Any) -> None:
    with api.Client(cluster, set_as_default=False, name="ada") as one, api.Client(cluster, set_as_default=False) as two:
        assert one.id != two.id
        assert "ada" in one.id
        assert one.id.startswith("Client-")


def test_the_scheduler_knows_each_client_by_its_id(api: Any, client: Any, cluster: Any, gate: Gate) -> None:
    with api.Client(cluster, set_as_default=False) as other:
        mine, theirs = client.submit(at_gate, gate, 1, key="mine"), other.submit(at_gate, gate, 2, key="theirs")
        eventually(lambda: client.run_on_scheduler(_wanted_by, client.id) == {"mine"})
        eventually(lambda: client.run_on_scheduler(_wanted_by, other.id) == {"theirs"})
        assert other.id in client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.clients))
        gate.open()
        assert client.gather(mine) + theirs.result() == 3
    eventually(lambda: other.id not in client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.clients)))


def _wanted_by(id: str, dask_scheduler: Any) -> set[str]:
    seen = dask_scheduler.clients[id]
    assert seen.client_key == id
    assert id in repr(seen)
    return {getattr(task, "key", task) for task in seen.wants_what}


def test_scheduler_info_has_the_workers(client: Any, cluster: Any) -> None:
    info = client.scheduler_info()
    assert {"type", "id", "address", "started", "n_workers", "total_threads", "total_memory", "workers"} <= set(info)
    assert info["address"] == cluster.scheduler_address
    assert (info["n_workers"], info["total_threads"]) == (2, 2)
    for worker in info["workers"].values():
        wanted = {"type", "id", "name", "nthreads", "memory_limit", "resources", "status", "metrics"}
        assert wanted <= set(worker)
        assert (worker["nthreads"], worker["status"], worker["type"]) == (1, "running", "Worker")
        assert worker["resources"] == {"GPU": 1}
        assert {"cpu", "memory", "managed_bytes"} <= set(worker["metrics"])
    assert sorted(worker["name"] for worker in info["workers"].values()) == [0, 1]


def test_scheduler_info_can_be_cut_short(client: Any) -> None:
    assert len(client.scheduler_info(n_workers=1)["workers"]) == 1


def test_threads_by_worker(client: Any) -> None:
    threads = client.nthreads()
    assert list(threads.values()) == [1, 1]
    assert client.ncores() == threads
    assert set(threads) == set(client.scheduler_info()["workers"])


def test_waiting_for_workers_that_are_there_returns_at_once(client: Any) -> None:
    client.wait_for_workers(2)
    client.wait_for_workers(1, timeout=1)


def test_waiting_for_workers_that_never_come_times_out(api: Any, client: Any) -> None:
    with pytest.raises(api.TimeoutError, match="Only 2/5 workers arrived"):
        client.wait_for_workers(5, timeout=0.1)


@pytest.mark.parametrize("number", [0, -1, 1.5, "two"])
def test_a_number_of_workers_is_a_positive_whole_number(client: Any, number: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        client.wait_for_workers(number)


def test_keywords_are_for_clusters_only(api: Any, cluster: Any) -> None:
    with pytest.raises(ValueError, match=r"Unexpected keyword arguments: \['n_workers', 'size'\]"):
        api.Client(cluster, size=1, n_workers=2)


@pytest.mark.parametrize("address", [5, ["tcp://127.0.0.1:1"], object()], ids=["int", "list", "object"])
def test_what_is_neither_address_nor_cluster_is_refused(api: Any, address: Any) -> None:
    with pytest.raises(TypeError):
        api.Client(address)


def test_a_client_cannot_wait_for_ever_to_connect(api: Any, cluster: Any) -> None:
    with pytest.raises(ValueError, match="timeout"):
        api.Client(cluster, timeout=None)


def test_an_address_that_nobody_answers_is_named(api: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
        api.Client(f"tcp://127.0.0.1:{port}", timeout=0.3)


def test_a_closed_cluster_takes_no_clients(api: Any, keywords: Any) -> None:
    cluster = api.LocalCluster(**keywords(n_workers=1))
    cluster.close()
    with pytest.raises(RuntimeError, match="already closed or closing"):
        api.Client(cluster)


def test_an_object_with_a_scheduler_address_is_a_cluster(api: Any, cluster: Any) -> None:
    class Elsewhere:
        scheduler_address = cluster.scheduler_address
        status = "running"

    with api.Client(Elsewhere(), set_as_default=False) as client:
        assert client.submit(inc, 1).result() == 2


def test_threads_share_objects_with_tasks(api: Any, keywords: Any) -> None:
    with api.Client(**keywords()) as client:
        [future] = client.scatter([[1, 2, 3]], hash=False)
        assert future.result() is client.submit(_itself, future).result()


def _itself(value: Any) -> Any:
    return value


def test_the_dashboard_link_is_the_clusters(client: Any, cluster: Any) -> None:
    assert client.dashboard_link == cluster.dashboard_link


def test_a_client_is_no_asynchronous_one_by_default(client: Any) -> None:
    assert client.asynchronous is False
    assert client.loop is not None
    assert client.status == "running"


def test_threads_are_told_of_some_workers_only(client: Any) -> None:
    address = next(iter(client.scheduler_info()["workers"]))
    assert client.nthreads(workers=[address]) == {address: 1}
    assert client.ncores(workers=[address]) == {address: 1}


def test_closing_may_be_given_a_time(api: Any, cluster: Any) -> None:
    other = api.Client(cluster, set_as_default=False)
    other.close(timeout=10)
    assert other.status == "closed"


def test_it_knows_its_futures(client: Any) -> None:
    future = client.submit(inc, 1, pure=False)
    future.result()
    assert client.futures[future.key].status == "finished"
    key = future.key
    del future
    eventually(lambda: key not in client.futures, "the future to be let go of")


def test_what_was_cancelled_is_not_among_its_futures(client: Any) -> None:
    future = client.submit(inc, 1, pure=False)
    future.result()
    future.cancel()
    assert future.key not in client.futures


def test_it_knows_where_its_scheduler_is(client: Any) -> None:
    assert client.scheduler.address == client.scheduler_info()["address"]


def test_a_cluster_in_this_process_shows_its_scheduler(client: Any, cluster: Any) -> None:
    scheduler = cluster.scheduler
    assert scheduler.address == cluster.scheduler_address
    assert set(scheduler.workers) == set(client.scheduler_info()["workers"])
    future = client.submit(inc, 1, pure=False)
    future.result()
    assert scheduler.tasks[future.key].state == "memory"


def test_a_client_that_is_no_default_is_not_the_current_one_within_with_either(api: Any, cluster: Any) -> None:
    with api.Client(cluster) as default, api.Client(cluster, set_as_default=False) as other:
        assert api.Client.current() is default
        assert api.get_client() is default
        with other.as_current():
            assert api.Client.current() is other
