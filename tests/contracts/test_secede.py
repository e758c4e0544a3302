"""``worker_client``, ``secede`` and ``rejoin``; and tasks that wait for other tasks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contracts.gates import Gate, at_gate


def inc(x: int) -> int:
    return x + 1


@pytest.fixture(scope="module", params=[False, True], ids=["threads", "processes"])
def alone(api: Any, own: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A client of a cluster with a single thread."""
    keywords = own(n_workers=1, processes=request.param)
    with api.LocalCluster(**keywords) as cluster, api.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def own(keywords: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    return keywords


def count_down(api: Any, n: int) -> int:
    return 0 if n == 0 else 1 + int(api.get_client().submit(count_down, api, n - 1).result())


@pytest.mark.differs("waiting in a task")
def test_a_recursion_ten_deep_finishes_on_one_thread(api: Any, alone: Any) -> None:
    assert alone.submit(count_down, api, 10).result(30) == 10


@pytest.mark.differs("waiting in a task")
@pytest.mark.parametrize("how", ["result", "gather", "wait", "as_completed"])
def test_whichever_way_a_task_waits_its_thread_runs_what_it_waits_for(api: Any, alone: Any, how: str) -> None:
    def outer() -> int:
        client = api.get_client()
        futures = client.map(inc, range(5), pure=False)
        if how == "result":
            return sum(future.result() for future in futures)
        if how == "gather":
            return sum(client.gather(futures))
        if how == "wait":
            api.wait(futures)
            return sum(client.gather(futures))
        return sum(future.result() for future in api.as_completed(futures))

    assert alone.submit(outer).result(30) == 15


@pytest.mark.differs("waiting in a task")
def test_so_it_is_with_coroutines(api: Any, alone: Any) -> None:
    async def outer(n: int) -> int:
        return 0 if n == 0 else 1 + int(await api.get_client().submit(outer, n - 1))

    assert alone.submit(outer, 3).result(30) == 3


@pytest.mark.differs("waiting in a task")
def test_a_task_that_waits_may_be_cancelled_and_its_worker_works_on(api: Any, alone: Any, gate: Gate) -> None:
    def outer() -> Any:
        return api.get_client().submit(at_gate, gate, pure=False).result()

    future = alone.submit(outer)
    gate.wait_for_visitors()
    future.cancel()
    gate.open()
    assert alone.gather(alone.map(inc, range(20), pure=False)) == list(range(1, 21))


@pytest.mark.differs("waiting in a task")
def test_a_task_whose_subtask_kills_their_worker_again_and_again_errs(api: Any, keywords: Any) -> None:
    def deadly() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def outer() -> None:
        api.get_client().submit(deadly).result()

    with api.LocalCluster(**keywords(n_workers=1, processes=True)) as cluster, api.Client(cluster) as client:
        error = client.submit(outer).exception(60)
    assert isinstance(error, api.KilledWorker)


def test_worker_client_gives_a_client_and_the_thread_to_others(api: Any, client: Any) -> None:
    def total(n: int) -> int:
        with api.worker_client() as here:
            return int(sum(here.gather(here.map(inc, range(n)))))

    assert client.gather(client.map(total, [3] * 4, pure=False)) == [6] * 4


def test_a_separate_thread_is_not_obligatory(api: Any, client: Any) -> None:
    def total(n: int) -> int:
        with api.worker_client(timeout=10, separate_thread=False) as here:
            return int(sum(here.gather(here.map(inc, range(n)))))

    assert client.submit(total, 3).result() == 6


def test_a_task_that_has_seceded_makes_room_for_others(api: Any, client: Any, gate: Gate) -> None:
    def outer() -> str:
        api.secede()
        return str(gate.pass_through("through"))

    waiting = client.map(lambda _: outer(), range(4), pure=False)
    gate.wait_for_visitors(4)
    assert client.submit(inc, 1, pure=False).result() == 2
    gate.open()
    assert client.gather(waiting) == ["through"] * 4


def test_a_task_that_rejoins_goes_on_when_there_is_a_thread(api: Any, client: Any) -> None:
    def outer() -> int:
        api.secede()
        api.rejoin()
        return 1

    assert client.gather(client.map(lambda _: outer(), range(6), pure=False)) == [1] * 6
    assert client.submit(inc, 1, pure=False).result() == 2


@pytest.mark.parametrize("name", ["secede", "rejoin", "worker_client"])
@pytest.mark.differs("the worker's client")
def test_outside_tasks_there_is_nothing_to_give_up(api: Any, client: Any, name: str) -> None:
    with pytest.raises(ValueError, match="No worker found"):
        api.worker_client().__enter__() if name == "worker_client" else getattr(api, name)()
