"""Graphs of dask's on a cluster in this process: what is ours alone."""

from __future__ import annotations

import asyncio
import operator
import threading
from collections.abc import Iterator
from typing import Any

import dask
import dask.array as da
import dask.bag as db
import numpy as np
import pytest

from nbcluster import Client, LocalCluster
from nbcluster.client import graph_submission
from nbcluster.client.annotating import Annotated
from nbcluster.client.graph_submission import GraphSubmission
from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Frame
from tests.support.eventually import eventually


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_a_name_may_mean_something_else_in_the_next_graph(client: Client) -> None:
    for number in range(50):
        dsk = {"x": number, "y": (operator.add, "x", 1), "z": (sum, ["x", "y"])}
        assert client.get(dsk, ["x", "y", "z"]) == [number, number + 1, 2 * number + 1]


def test_collections_of_several_kinds_keep_their_places(client: Client) -> None:
    add = dask.delayed(operator.add)
    things = [da.ones(4).sum(), add(1, 2), 5, da.zeros(4).sum(), db.range(4, npartitions=2).sum(), add(3, 4)]
    assert client.compute(things, sync=True) == [4, 3, 5, 0, 6, 7]
    kept: Any = client.persist([things[0], things[1], things[3]])
    assert [one.compute(scheduler=client.get) for one in kept] == [4, 3, 0]


def test_a_large_graph_goes_out_in_pieces(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_submission, "PIECE", 7)
    array = da.arange(100, chunks=4)
    assert int((array + array[::-1]).sum().compute(scheduler=client.get)) == 9900
    dsk: dict[Any, Any] = {("n", 0): 0, **{("n", n): (operator.add, ("n", n - 1), 1) for n in range(1, 50)}}
    dsk["first"] = (operator.add, ("n", 0), 0)
    assert client.get(dsk, [("n", 49), "first", ("n", 3)]) == [49, 0, 3]


def submitted(data: Any, share: Any = None) -> list[m.GraphTask]:
    """The tasks of a graph in which two tasks have the same data."""
    dsk = {"a": (np.sum, data), "b": (np.max, data), "c": (max, "a", "b")}
    messages = [
        message for _, message in GraphSubmission(dsk, ["c"], Annotated(m.TaskOptions(), {}), bool, share).messages()
    ]
    return [task for message in messages if isinstance(message, m.SubmitGraph) for task in message.tasks]


def test_data_of_a_graph_may_be_changed_once_it_is_submitted() -> None:
    data = np.arange(100_000.0)
    for task in submitted(data):
        for frame in task.frames:
            assert not np.shares_memory(np.frombuffer(frame.buffer or b""), data)


def test_large_data_of_a_graph_is_shared_once() -> None:
    shared: list[Frame] = []

    def share(buffer: memoryview, named: bool) -> Frame:
        shared.append(Frame(None, shared=Blob(buffer)))
        return shared[-1]

    tasks = submitted(np.arange(1_000_000.0), share)
    assert len(shared) == 1
    assert [frame for task in tasks for frame in task.frames] == 2 * shared


class Blob:
    """As much of a shared buffer as is looked at here."""

    lost = False
    elsewhere = False

    def __init__(self, buffer: memoryview) -> None:
        self.nbytes = buffer.nbytes

    def name(self) -> int:
        return 1

    def open(self) -> memoryview:
        raise AssertionError("nobody reads it here")


def test_after_a_graph_nothing_is_left(client: Client) -> None:
    array = da.arange(100, chunks=4)
    assert int((array + 1).sum().compute(scheduler=client.get)) == 5050
    state = client.cluster._engine._runtime.server.core.state
    eventually(lambda: not state.tasks, "the end of all tasks")
    assert not state.functions


def test_a_graph_that_goes_on_from_what_is_not_there_is_refused(client: Client) -> None:
    kept = client.persist(da.ones(4, chunks=2))
    total = kept.sum()
    client.cancel(kept)
    with pytest.raises(ValueError, match="is not in the graph, and this client has no future for it"):
        total.compute(scheduler=client.get)


def test_a_closed_client_computes_nothing() -> None:
    client = Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None)
    client.close()
    with pytest.raises(RuntimeError, match="Make a new Client"):
        client.get({"x": 1}, "x")


def test_arguments_that_cannot_be_pickled_are_named(client: Client) -> None:
    with pytest.raises(Exception, match=r"cannot pickle args\[1\]"):
        client.get({"x": (max, 1, threading.Lock())}, "x")


def test_an_asynchronous_client_is_awaited() -> None:
    async def main() -> None:
        options: dict[str, Any] = {"processes": False, "dashboard_address": None, "n_workers": 1}
        async with Client(asynchronous=True, **options) as client:
            assert await client.get({"x": 1, "y": (abs, "x")}, "y") == 1
            assert await client.compute(da.ones(4, chunks=2).sum()) == 4
            assert await client.compute([da.ones(4, chunks=2).sum(), 5], sync=True) == [4, 5]
            with pytest.raises(RuntimeError, match="asynchronous"):
                da.ones(4).sum().compute()

    asyncio.run(main())
