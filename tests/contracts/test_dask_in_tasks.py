"""What a task computes with dask: the cluster that runs it does so."""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import pandas as pd  # type: ignore[import-untyped]
import pytest

from tests.contracts.gates import add, inc


def total(collection: Any) -> int:
    return int(collection.sum().compute())


def whole(collection: Any) -> Any:
    return collection.compute()


def test_a_task_computes_the_collection_that_it_was_given(client: Any) -> None:
    array, bag = da.arange(10, chunks=5), db.from_sequence(range(5), npartitions=2)
    assert client.submit(total, array).result() == 45
    assert client.submit(total, bag).result() == 10
    assert client.submit(whole, dask.delayed(inc)(1)).result() == 2


def test_and_one_whose_parts_are_on_the_cluster(client: Any) -> None:
    array, bag = client.persist([da.arange(10, chunks=5), db.from_sequence(range(5), npartitions=2)])
    assert client.submit(total, array).result() == 45
    assert client.submit(total, bag).result() == 10
    assert client.submit(whole, array).result().tolist() == list(range(10))


def test_so_it_is_with_frames_and_with_scattered_collections(client: Any) -> None:
    table = pd.DataFrame({"x": [1, 2, 3]})
    kept = dd.from_pandas(table, npartitions=2).persist()
    assert client.submit(len, kept).result() == 3
    assert client.submit(whole, kept).result().equals(table)
    future = client.scatter(kept)
    assert future.type is dd.DataFrame
    assert future.result().compute().equals(table)
    assert client.submit(whole, future).result().equals(table)
    assert client.submit(total, future.result().x + 1).result() == 9


def asks_a_client() -> bool:
    scheduler = dask.base.get_scheduler()
    return getattr(scheduler, "__name__", "") == "get" and hasattr(scheduler, "__self__")


def test_dasks_scheduler_in_a_task_is_a_client(client: Any) -> None:
    assert client.submit(asks_a_client).result() is True


def own_choice() -> Any:
    with dask.config.set(scheduler="sync"):
        return dask.delayed(inc)(1).compute(), dask.delayed(inc)(2).compute(scheduler="threads")


def test_a_task_may_choose_another_one(client: Any) -> None:
    assert client.submit(own_choice).result() == (2, 3)


def test_a_client_computes_what_another_client_of_the_cluster_has_persisted(
    api: Any, client: Any, cluster: Any
) -> None:
    kept = client.persist(da.arange(10, chunks=5))
    with api.Client(cluster, set_as_default=False) as other:
        assert other.compute((kept + 1).sum()).result() == 55
        assert other.compute(kept).result().tolist() == list(range(10))


def test_a_graph_with_a_cancelled_future_is_of_no_use(api: Any, client: Any) -> None:
    future = client.submit(inc, 20_000)
    future.result()
    future.cancel()
    with pytest.raises(api.CancelledError):
        client.get({"x": (add, future, 1)}, "x")
