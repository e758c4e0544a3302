"""Threads that wait for one result after the other: who is woken for them, and what others hear meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nbcluster import Client, Future, LocalCluster, SubprocessCluster, as_completed, wait
from nbcluster.client import own_reading
from nbcluster.client.wants import Wants
from nbcluster.comm.awake import AwakeLoop
from nbcluster.comm.stream import StreamConnection
from tests.support.eventually import eventually
from tests.support.tasks import square

DEADLINE = 20.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[SubprocessCluster]:
    with SubprocessCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: SubprocessCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client that always thinks that waits follow each other quickly, on however slow a machine."""
    for name in ("SHORTLY", "PATIENCE", "TICK"):
        monkeypatch.setattr(own_reading, name, DEADLINE)
    with Client(cluster) as client:
        yield client


def trips(client: Client, count: int) -> None:
    for number in range(count):
        assert client.submit(square, number, pure=False).result(timeout=DEADLINE) == number**2


def counted(monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> list[str]:
    """What grows with each call of a method."""
    method, calls = getattr(kind, name), list[str]()

    def call(*args: Any) -> Any:
        calls.append(name)
        return method(*args)

    monkeypatch.setattr(kind, name, call)
    return calls


def lent(client: Client) -> bool:
    return client._session.reading._loan.lending is not None


def lend(client: Client) -> None:
    while not lent(client):
        trips(client, 1)
        eventually(lambda: client._session.reading._row < own_reading.ROW, "the loop has lent the link, or not")


def test_results_one_after_the_other_wake_no_other_thread_of_the_client(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken = counted(monkeypatch, Wants, "flush"), counted(monkeypatch, StreamConnection, "buffer_updated")
    trips(client, 20)
    before = sum(map(len, woken))
    trips(client, 200)
    assert sum(map(len, woken)) - before < 40, "now and then only, when the loop has something else to do"


def test_many_futures_at_once_are_submitted_together_all_the_same(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = counted(monkeypatch, StreamConnection, "send_at_once")
    trips(client, 20)
    sent.clear()
    futures = [client.submit(square, number) for number in range(100)]
    assert client.gather(futures) == [number**2 for number in range(100)]
    assert len(sent) <= 1, "the first of them only"


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, future: client.gather(future),
        lambda client, future: next(as_completed([future])).result(),
        lambda client, future: wait(future) and future.result(),
        lambda client, future: future.exception() or future.result(),
        lambda client, future: future.result() if client.scheduler_info()["workers"] else None,
    ],
    ids=["gather", "as_completed", "wait", "exception", "scheduler_info"],
)
def test_whatever_waits_in_another_way_hears_of_it_at_once(client: Client, ask: object) -> None:
    for number in range(5):
        lend(client)
        assert ask(client, client.submit(square, number, pure=False)) == number**2  # type: ignore[operator]


def test_callbacks_hear_of_it_at_once(client: Client) -> None:
    heard: list[Future] = []
    for number in range(5):
        lend(client)
        client.submit(square, number, pure=False).add_done_callback(heard.append)
        eventually(lambda: len(heard) > number, "the callback is called")  # noqa: B023


def test_several_threads_wait_at_the_same_time(client: Client) -> None:
    def thread(_: int) -> None:
        trips(client, 100)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(thread, range(4)))
    lend(client)


def test_two_threads_wait_for_the_same_result(client: Client) -> None:
    for number in range(20):
        lend(client)
        future = client.submit(square, number, pure=False)
        with ThreadPoolExecutor(3) as pool:
            assert list(pool.map(future.result, [DEADLINE] * 3)) == [number**2] * 3


def test_the_link_is_the_loops_again_when_nobody_waits_any_more(
    cluster: SubprocessCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SHORTLY", "PATIENCE"):
        monkeypatch.setattr(own_reading, name, DEADLINE)
    with Client(cluster) as client:
        trips(client, 20)
        eventually(lambda: not lent(client), "the loop reads")
        trips(client, 20)


def test_who_waits_long_waits_for_the_loop(cluster: SubprocessCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_reading, "SHORTLY", DEADLINE)
    monkeypatch.setattr(own_reading, "TICK", DEADLINE)
    with Client(cluster) as client:
        monkeypatch.setattr(own_reading, "PATIENCE", DEADLINE)
        lend(client)
        monkeypatch.setattr(own_reading, "PATIENCE", 0.0)
        trips(client, 1)
        assert not lent(client)


def test_a_client_that_is_lent_closes(client: Client) -> None:
    lend(client)
    client.close(timeout=DEADLINE)


def test_the_end_of_the_cluster_is_noticed_although_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHORTLY", "PATIENCE"):
        monkeypatch.setattr(own_reading, name, DEADLINE)
    with SubprocessCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        client = Client(cluster)
        lend(client)
        cluster.close()
        eventually(lambda: client._session.wants.closed_because, "the client knows that its cluster is closed")
        client.close()


def test_where_the_loop_reads_it_stays_awake_for_one_result_after_the_other_and_not_for_a_map(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        trips(client, 1)
        asked = counted(monkeypatch, AwakeLoop, "asked")
        trips(client, 10)
        assert len(asked) == 10
        asked.clear()
        futures = client.map(square, range(3000), pure=False)
        assert client.gather(futures) == [number**2 for number in range(3000)]
        assert len(asked) <= 1, "for its first message, which might have been alone"
