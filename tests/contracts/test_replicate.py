"""``replicate``, ``rebalance`` and the active memory manager: where copies of results are."""

from __future__ import annotations

from typing import Any

import dask
import pytest

from tests.contracts.gates import Mishap, fail_with, inc
from tests.support.eventually import eventually


def holders(client: Any, key: str) -> int:
    def count(dask_scheduler: Any) -> int:
        return len(dask_scheduler.tasks[key].who_has)

    return int(client.run_on_scheduler(count))


def address(client: Any, index: int) -> str:
    return str(sorted(client.scheduler_info()["workers"])[index])


@pytest.fixture
def unmanaged(client: Any) -> Any:
    """A client of a cluster whose copies stay where they are."""
    client.amm.stop()
    yield client
    client.amm.start()


def test_results_are_copied_to_all_workers(unmanaged: Any) -> None:
    futures = unmanaged.map(inc, [100, 200], workers=[address(unmanaged, 0)])
    unmanaged.replicate(futures)
    assert [holders(unmanaged, future.key) for future in futures] == [2, 2]
    assert unmanaged.gather(futures) == [101, 201]


def test_results_are_copied_to_so_many_workers(unmanaged: Any) -> None:
    future = unmanaged.submit(inc, 300)
    unmanaged.replicate([future], n=1)
    assert holders(unmanaged, future.key) == 1
    unmanaged.replicate([future], n=2)
    assert holders(unmanaged, future.key) == 2
    unmanaged.replicate([future], n=1)
    assert holders(unmanaged, future.key) == 1
    assert future.result() == 301


def test_results_are_copied_to_the_workers_that_are_named(unmanaged: Any) -> None:
    future = unmanaged.submit(inc, 400, workers=[address(unmanaged, 0)])
    unmanaged.replicate([future], workers=[address(unmanaged, 1)])
    assert holders(unmanaged, future.key) == 2


def test_replicate_waits_for_what_is_not_done_and_raises_what_failed(unmanaged: Any) -> None:
    with pytest.raises(Mishap, match="no copy"):
        unmanaged.gather(unmanaged.submit(fail_with, "no copy", pure=False))


def test_rebalancing_loses_nothing(client: Any) -> None:
    futures = client.map(inc, range(1000, 1020), workers=[address(client, 0)])
    client.gather(futures)
    client.rebalance(futures)
    client.rebalance()
    assert client.gather(futures) == list(range(1001, 1021))


def test_only_the_workers_that_are_named_take_part_in_rebalancing(api: Any, keywords: Any) -> None:
    with api.Client(**keywords(n_workers=3)) as client:
        first, second, other = client.scheduler_info()["workers"]
        data = client.scatter([bytes([n]) * 10_000 for n in range(10)], workers=[first])
        client.rebalance(workers=[first, second])
        assert client.has_what([other]) == {other: []}
        assert client.gather(data) == [bytes([n]) * 10_000 for n in range(10)]


def test_the_parts_of_collections_are_moved_and_copied_as_well(client: Any) -> None:
    kept = client.persist(dask.delayed(inc)(7000))
    client.replicate(kept)
    [future] = client.futures_of(kept)
    assert len(client.who_has(future)[future.key]) == 2
    client.rebalance(kept)
    assert future.result() == 7001


def test_without_any_worker_or_future_nothing_moves(client: Any) -> None:
    data = client.scatter([bytes([n]) * 10_000 for n in range(10)], workers=[address(client, 0)])
    before = client.who_has(data)
    client.rebalance(workers=[])
    client.rebalance([])
    assert client.who_has(data) == before


def test_the_active_memory_manager_starts_and_stops(client: Any) -> None:
    assert client.amm.running() is True
    client.amm.stop()
    assert client.amm.running() is False
    client.amm.start()
    assert client.amm.running() is True


@pytest.mark.differs("active memory manager")
def test_spare_copies_are_dropped_but_not_those_that_were_asked_for(unmanaged: Any) -> None:
    there, elsewhere = address(unmanaged, 0), address(unmanaged, 1)
    spare = unmanaged.submit(inc, 500, workers=[there])
    asked_for = unmanaged.submit(inc, 600, workers=[there])
    unmanaged.replicate(asked_for)
    data = unmanaged.scatter(b"x" * 100_000, workers=[there])
    user = unmanaged.submit(len, data, workers=[elsewhere])
    assert user.result() == 100_000
    eventually(lambda: holders(unmanaged, data.key) == 2, "the copy was reported")
    unmanaged.amm.run_once()
    assert holders(unmanaged, data.key) == 1
    assert holders(unmanaged, asked_for.key) == 2
    assert holders(unmanaged, spare.key) == 1
    assert data.result() == b"x" * 100_000


@pytest.mark.differs("active memory manager")
def test_rebalancing_moves_half_of_what_one_worker_holds(unmanaged: Any) -> None:
    eventually(lambda: not any(unmanaged.has_what().values()), "what other tests made was let go of")
    data = unmanaged.scatter([bytes([n]) * 10_000 for n in range(10)], workers=[address(unmanaged, 0)])
    unmanaged.rebalance(data)
    keys = {future.key for future in data}
    held = unmanaged.run(lambda dask_worker: len(keys & set(dask_worker.data)))
    assert sorted(held.values()) == [5, 5]
    assert unmanaged.gather(data) == [bytes([n]) * 10_000 for n in range(10)]


@pytest.mark.differs("bad input")
def test_what_cannot_be_is_refused(client: Any) -> None:
    future = client.submit(inc, 1)
    with pytest.raises(ValueError, match="n=0 is out of range"):
        client.replicate(future, n=0)
    with pytest.raises(ValueError, match="names no worker that is running"):
        client.replicate(future, workers=["nobody"])
    with pytest.raises(ValueError, match="branching_factor=0 is out of range"):
        client.replicate(future, branching_factor=0)
    with pytest.raises(Mishap):
        client.replicate(client.submit(fail_with, "no copy"))


@pytest.mark.timeout(60)
def test_rebalancing_leaves_actors_where_they_live(unmanaged: Any) -> None:
    first = address(unmanaged, 0)
    actor = unmanaged.submit(dict, {"x": 1}, actor=True, workers=[first])
    data = unmanaged.submit(bytes, 10, workers=[first])
    assert actor.result().get("x").result() == 1
    assert data.result() == bytes(10)
    unmanaged.rebalance()
    assert list(unmanaged.who_has([actor])[actor.key]) == [first]
    assert actor.result().get("x").result() == 1


@pytest.mark.differs("bad input")
def test_an_actor_is_not_copied(client: Any) -> None:
    actor = client.submit(dict, actor=True)
    assert actor.result().keys
    with pytest.raises(ValueError, match="is an actor: it lives on one worker"):
        client.replicate([actor, client.submit(inc, 1)])
