"""The same API with ``asynchronous=True``, on an event loop of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.gates import Gate, Mishap, Tally, add, at_gate, fail_first, fail_with, inc

DEADLINE = 30.0

Run = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def run(api: Any, keywords: Any) -> Run:
    """Runs a coroutine function with an asynchronous client of a cluster of its own."""

    def run(test: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with api.Client(asynchronous=True, **keywords()) as client:
                await test(client)

        asyncio.run(asyncio.wait_for(main(), DEADLINE))

    return run


@asynccontextmanager
async def open_cluster(api: Any, keywords: Any) -> AsyncIterator[Any]:
    async with api.LocalCluster(asynchronous=True, **keywords()) as cluster:
        yield cluster


def test_a_future_can_be_awaited(run: Run) -> None:
    async def test(client: Any) -> None:
        assert client.asynchronous
        assert await client.submit(inc, 1) == 2
        assert await client.submit(add, client.submit(inc, 1), 1).result() == 3

    run(test)


def test_gather_is_a_coroutine(run: Run) -> None:
    async def test(client: Any) -> None:
        futures = client.map(inc, range(10))
        assert await client.gather(futures) == list(range(1, 11))
        assert await client.gather({"a": futures[0], "b": [futures[1]]}) == {"a": 1, "b": [2]}
        assert await client.gather([futures[0], client.submit(fail_with, "boom")], errors="skip") == [1]

    run(test)


def test_an_asynchronous_client_returns_what_it_is_to_run(run: Run) -> None:
    async def test(client: Any) -> None:
        async def use(x: int) -> Any:
            return await client.submit(inc, x)

        assert await client.sync(use, 1) == 2
        with pytest.raises(asyncio.TimeoutError):
            await client.sync(asyncio.sleep, 3600, callback_timeout=0.01)

    run(test)


def test_scatter_is_a_coroutine(run: Run) -> None:
    async def test(client: Any) -> None:
        [future] = await client.scatter([41])
        assert await client.submit(inc, future) == 42

    run(test)


def test_errors_are_raised_where_they_are_awaited(run: Run) -> None:
    async def test(client: Any) -> None:
        future = client.submit(fail_with, "boom")
        with pytest.raises(Mishap, match="boom"):
            await future
        with pytest.raises(Mishap, match="boom"):
            await client.gather([future])
        assert isinstance(await future.exception(), Mishap)
        assert await future.traceback() is not None

    run(test)


def test_wait_is_a_coroutine(api: Any, run: Run, gate: Gate) -> None:
    async def test(client: Any) -> None:
        futures = client.map(inc, range(3))
        done, not_done = await api.wait(futures)
        assert (done, not_done) == (set(futures), set())
        slow = client.submit(at_gate, gate)
        first = await api.wait([slow, *futures], return_when="FIRST_COMPLETED")
        assert slow in first.not_done
        with pytest.raises(api.TimeoutError):
            await api.wait([slow], timeout=0.05)
        gate.open()

    run(test)


@pytest.mark.differs("asynchronous calls")
def test_get_is_a_coroutine(run: Run) -> None:
    async def test(client: Any) -> None:
        graph = {"x": 1, "y": (inc, "x")}
        assert await client.get(graph, ["x", "y"]) == [1, 2]
        assert await client.get(graph, "y", asynchronous=True) == 2

    run(test)


def test_what_was_retried_or_cancelled_is_so_at_once(run: Run, tmp_path: Path, gate: Gate) -> None:
    async def test(client: Any) -> None:
        future = client.submit(fail_first, Tally(tmp_path / "tally"), times=1)
        with pytest.raises(Mishap):
            await future
        await client.retry([future], asynchronous=True)
        assert future.status == "pending"
        assert await future == 1
        held = client.submit(at_gate, gate)
        await client.cancel([held], asynchronous=True)
        assert held.cancelled()
        gate.open()

    run(test)


def test_as_completed_is_an_asynchronous_iterator(api: Any, run: Run, gate: Gate) -> None:
    async def test(client: Any) -> None:
        slow, fast = client.submit(at_gate, gate, 10), client.submit(inc, 1)
        seen = []
        async for future in api.as_completed([slow, fast]):
            seen.append(await future)
            gate.open()
        assert seen == [2, 10]
        pairs = [pair async for pair in api.as_completed(client.map(inc, range(3)), with_results=True)]
        assert sorted(result for _, result in pairs) == [1, 2, 3]

    run(test)


def test_more_can_be_added_on_the_way(api: Any, run: Run) -> None:
    async def test(client: Any) -> None:
        completed = api.as_completed(client.map(inc, [1]))
        seen = []
        async for future in completed:
            seen.append(await future)
            if len(seen) == 1:
                completed.add(client.submit(inc, 10))
        assert seen == [2, 11]

    run(test)


def test_futures_are_cancelled(api: Any, run: Run, gate: Gate) -> None:
    async def test(client: Any) -> None:
        future = client.submit(at_gate, gate)
        await future.cancel()
        with pytest.raises(api.CancelledError):
            await future
        gate.open()

    run(test)


def test_a_timeout_is_raised_where_it_is_awaited(api: Any, run: Run, gate: Gate) -> None:
    async def test(client: Any) -> None:
        future = client.submit(at_gate, gate, 5)
        with pytest.raises(api.TimeoutError):
            await future.result(timeout=0.05)
        gate.open()
        assert await future == 5

    run(test)


def test_waiting_can_be_abandoned(run: Run, gate: Gate) -> None:
    async def test(client: Any) -> None:
        future = client.submit(at_gate, gate, 5)
        waiting = asyncio.ensure_future(client.gather([future]))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.open()
        assert await future == 5

    run(test)


def test_a_client_can_be_awaited(api: Any, keywords: Any) -> None:
    async def main() -> None:
        client = await api.Client(asynchronous=True, **keywords())
        assert client.status == "running"
        assert await client.submit(inc, 1) == 2
        await client.close()
        await client.close()
        assert client.status == "closed"

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_a_cluster_can_be_awaited(api: Any, keywords: Any) -> None:
    async def main() -> None:
        cluster = await api.LocalCluster(asynchronous=True, **keywords())
        assert len(cluster.workers) == 2
        async with api.Client(cluster, asynchronous=True) as client:
            assert await client.submit(inc, 1) == 2
        await cluster.close()
        assert str(cluster.status).endswith("closed")

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_a_cluster_scales_from_coroutines(api: Any, keywords: Any) -> None:
    async def main() -> None:
        async with open_cluster(api, keywords) as cluster:
            scaled = cluster.scale(3)
            if scaled is not None:
                await scaled
            await cluster.wait_for_workers(3)
            assert len(cluster.scheduler_info["workers"]) == 3

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_an_asynchronous_cluster_is_scaled_though_nobody_awaits_it(api: Any, keywords: Any) -> None:
    async def main() -> None:
        async with api.LocalCluster(asynchronous=True, **keywords(n_workers=0)) as cluster:
            for ordered in (2, 1):
                cluster.scale(ordered)
                assert await cluster is cluster
                assert len(cluster.workers) == ordered
                assert len(cluster.scheduler.workers) == ordered
            await cluster.scale(3)
            await cluster
            assert len(cluster.scheduler.workers) == 3

    asyncio.run(asyncio.wait_for(main(), 60))


def test_an_asynchronous_cluster_is_not_for_plain_with(api: Any, keywords: Any) -> None:
    async def main() -> None:
        async with open_cluster(api, keywords) as cluster:
            with pytest.raises(TypeError), cluster:
                pass

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


@pytest.mark.differs("bad input")
def test_an_asynchronous_client_is_not_for_plain_with(run: Run) -> None:
    async def test(client: Any) -> None:
        with pytest.raises(TypeError, match="async with"), client:
            pass

    run(test)


def test_within_the_block_it_is_the_current_client(api: Any, run: Run) -> None:
    async def test(client: Any) -> None:
        assert api.default_client() is client

    run(test)


def test_coroutine_functions_run_as_tasks(run: Run) -> None:
    async def test(client: Any) -> None:
        assert await client.submit(_slow_inc, 1) == 2

    run(test)


async def _slow_inc(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


def test_scheduler_information_is_awaited_or_not(run: Run) -> None:
    async def test(client: Any) -> None:
        info = client.scheduler_info()
        if asyncio.iscoroutine(info):
            info = await info
        assert info["n_workers"] == 2

    run(test)


def test_tornado_coroutines_work_too(api: Any, run: Run) -> None:
    from tornado import gen

    async def test(client: Any) -> None:
        @gen.coroutine
        def old_style() -> Any:
            result = yield client.submit(inc, 1)
            more = yield client.gather(client.map(inc, range(3)))
            raise gen.Return((result, more))

        assert await old_style() == (2, [1, 2, 3])

    run(test)


def test_scheduler_information_is_there_without_await(run: Run) -> None:
    async def test(client: Any) -> None:
        assert client.scheduler_info()["n_workers"] == 2

    run(test)


@pytest.mark.differs("bad input")
def test_what_nobody_awaited_says_so(api: Any, keywords: Any) -> None:
    async def main() -> None:
        client = api.Client(asynchronous=True, **keywords(n_workers=1))
        for use in (lambda: client.submit(abs, -1), client.scheduler_info, lambda: client.dashboard_link):
            with pytest.raises(RuntimeError, match="not connected yet: await it first"):
                use()
        await client.close()
        cluster = api.LocalCluster(asynchronous=True, **keywords(n_workers=1))
        for use in (lambda: cluster.scale(2), cluster.get_logs, cluster.adapt):
            with pytest.raises(RuntimeError, match="has not started: await it first"):
                use()
        async with cluster:
            with pytest.raises(RuntimeError, match=r"would stop it: use Client\(cluster, asynchronous=True\)"):
                api.Client(cluster)
            async with api.Client(cluster, asynchronous=True) as client:
                assert await client.submit(abs, -1) == 1

    asyncio.run(asyncio.wait_for(main(), 60))
