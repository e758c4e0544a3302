"""Futures of one client as arguments of another's tasks: they may be dropped at once, on event loops too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import dask
import pytest

from tests.contracts.gates import add, inc

Both = Callable[[Callable[[Any, Any], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def both(api: Any, keywords: Any) -> Both:
    """Runs a coroutine function with two asynchronous clients of one cluster."""

    def run(test: Callable[[Any, Any], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with (
                api.LocalCluster(asynchronous=True, **keywords()) as cluster,
                api.Client(cluster, asynchronous=True, set_as_default=False) as one,
                api.Client(cluster, asynchronous=True, set_as_default=False) as other,
            ):
                await test(one, other)

        asyncio.run(asyncio.wait_for(main(), 30))

    return run


@pytest.mark.differs("futures of others")
def test_on_an_event_loop_they_may_be_dropped_as_soon_as_they_were_given(both: Both) -> None:
    async def test(one: Any, other: Any) -> None:
        for number in range(20):
            sums = one.map(add, [other.submit(inc, number, pure=False)], [1], pure=False)
            sums.append(one.submit(add, other.submit(inc, number, pure=False), 1, pure=False))
            assert await one.gather(sums) == [number + 2] * 2

    both(test)


@pytest.mark.differs("futures of others")
def test_two_clients_of_an_event_loop_may_give_each_other_theirs(both: Both) -> None:
    async def test(one: Any, other: Any) -> None:
        for number in range(20):
            future = one.submit(inc, number, pure=False)
            for client in (other, one, other):
                future = client.submit(inc, future, pure=False)
            assert await future == number + 4

    both(test)


@pytest.mark.differs("futures of others")
def test_so_may_collections_that_another_client_has_persisted(both: Both) -> None:
    async def test(one: Any, other: Any) -> None:
        for number in range(20):
            [kept] = other.persist([dask.delayed(inc, pure=False)(number)])
            total = one.compute(dask.delayed(inc)(kept))
            del kept
            assert await total == number + 2

    both(test)


@pytest.mark.differs("futures of others")
def test_so_they_may_be_in_threads(api: Any, cluster: Any, client: Any) -> None:
    with api.Client(cluster, set_as_default=False) as other:
        for number in range(20):
            [kept] = other.persist([dask.delayed(inc, pure=False)(number)])
            total = client.compute(dask.delayed(inc)(kept))
            del kept
            assert total.result() == number + 2


def test_what_is_kept_is_there_for_another_client(both: Both) -> None:
    async def test(one: Any, other: Any) -> None:
        parts = one.map(inc, range(5))
        total = other.submit(sum, parts)
        assert await total == 15

    both(test)
