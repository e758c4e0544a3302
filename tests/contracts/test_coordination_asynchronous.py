"""Locks, queues and the like with ``asynchronous=True``: on the event loop, nothing blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.contracts.gates import inc

DEADLINE = 30.0

Run = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def run(api: Any, keywords: Any) -> Run:
    """Runs a coroutine function with an asynchronous client of a cluster of its own."""

    def run(test: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with api.Client(asynchronous=True, **keywords(n_workers=1)) as client:
                await test(client)

        asyncio.run(asyncio.wait_for(main(), DEADLINE))

    return run


async def turn() -> None:
    """Let others take their turn, a few times."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_lock_is_awaited(api: Any, run: Run) -> None:
    async def test(client: Any) -> None:
        lock, other = api.Lock("x"), api.Lock("x")
        assert await lock.acquire() is True
        assert await other.acquire(timeout=0.01) is False
        assert await other.acquire(blocking=False) is False
        waiting = asyncio.ensure_future(other.acquire())
        await turn()
        assert not waiting.done()
        await lock.release()
        assert await waiting is True
        assert await lock.locked()
        await other.release()
        async with lock:
            assert await other.locked()
        assert not await other.locked()

    run(test)


@pytest.mark.parametrize("take", [lambda api: api.Lock("x"), lambda api: api.MultiLock(["x", "y"])], ids=["one", "two"])
def test_waiting_for_a_lock_can_be_abandoned_and_nobody_has_it_then(api: Any, run: Run, take: Any) -> None:
    async def test(client: Any) -> None:
        lock, abandoned = take(api), take(api)
        await lock.acquire()
        waiting = asyncio.ensure_future(abandoned.acquire(timeout=0.05))
        assert await waiting is False
        await lock.release()
        assert await take(api).acquire(timeout=10)

    run(test)


@pytest.mark.differs("queues lose nothing")
def test_a_cancelled_wait_takes_nothing_with_it(api: Any, run: Run) -> None:
    async def test(client: Any) -> None:
        lock, semaphore, queue = api.Lock("x"), api.Semaphore(1, "s"), api.Queue("x")
        several = api.MultiLock(["y", "z"])
        assert all([await one.acquire() for one in (lock, semaphore, several)])
        waiting = [
            asyncio.ensure_future(one)
            for one in (
                api.Lock("x").acquire(),
                api.Semaphore(1, "s").acquire(),
                api.MultiLock(["z", "y"]).acquire(),
                queue.get(),
                api.Event("x").wait(),
                api.Variable("x").get(),
            )
        ]
        await turn()
        for one in waiting:
            one.cancel()
        assert {type(error) for error in await asyncio.gather(*waiting, return_exceptions=True)} == {
            asyncio.CancelledError
        }
        for one in (lock, semaphore, several):
            await one.release()
        assert await api.Lock("x").acquire(timeout=10)
        assert await api.Semaphore(1, "s").acquire(timeout=10)
        assert await api.MultiLock(["y", "z"]).acquire(timeout=10)
        await queue.put("kept")
        assert await queue.get(timeout=10) == "kept"

    run(test)


def test_several_locks_are_awaited_at_once(api: Any, run: Run) -> None:
    async def test(client: Any) -> None:
        async with api.MultiLock(["x", "y"]) as locks:
            assert locks.locked()
            assert await api.MultiLock(["y", "z"]).acquire(timeout=0.01) is False
        both = api.MultiLock(["y", "z"])
        assert await both.acquire(timeout=10) is True
        await both.release()

    run(test)


def test_a_semaphore_is_awaited(api: Any, run: Run) -> None:
    async def test(client: Any) -> None:
        semaphore = await api.Semaphore(2, "x")
        async with semaphore:
            assert await semaphore.get_value() == 1
            assert await semaphore.acquire() is True
            assert await semaphore.acquire(timeout=0.01) is False
            waiting = asyncio.ensure_future(semaphore.acquire())
            await turn()
            assert not waiting.done()
            await semaphore.release()
            assert await waiting is True
            await semaphore.release()
        assert await semaphore.get_value() == 0

    run(test)


def test_an_event_is_awaited(api: Any, run: Run) -> None:
    async def test(client: Any) -> None:
        event = await api.Event("x")
        assert await event.wait(timeout=0.01) is False
        waiting = [asyncio.ensure_future(event.wait()) for _ in range(3)]
        await turn()
        await event.set()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert await event.is_set() is True
        await event.clear()
        assert await event.is_set() is False

    run(test)


def test_a_queue_is_awaited(api: Any, run: Run) -> None:
    async def test(client: Any) -> None:
        queue = await api.Queue("x", maxsize=1)
        waiting = asyncio.ensure_future(queue.get())
        await turn()
        await queue.put(client.submit(inc, 1))
        assert await (await waiting) == 2
        with pytest.raises(api.TimeoutError):
            await queue.get(timeout=0.01)
        await queue.put("first")
        full = asyncio.ensure_future(queue.put("second"))
        await turn()
        assert not full.done()
        assert await queue.get() == "first"
        await full
        assert await queue.qsize() == 1
        assert await queue.get(batch=True) == ["second"]

    run(test)


def test_a_variable_is_awaited(api: Any, run: Run) -> None:
    async def test(client: Any) -> None:
        variable = api.Variable("x")
        with pytest.raises(api.TimeoutError):
            await variable.get(timeout=0.01)
        waiting = asyncio.ensure_future(variable.get())
        await turn()
        await variable.set(5)
        assert await waiting == 5
        await variable.set(client.submit(inc, 1))
        assert await (await variable.get()) == 2
        await variable.set(6)
        variable.delete()
        await until_unset(api, variable)

    run(test)


async def until_unset(api: Any, variable: Any) -> None:
    while True:
        try:
            await variable.get(timeout=0.01)
        except api.TimeoutError:
            return


def test_datasets_are_awaited(run: Run) -> None:
    async def test(client: Any) -> None:
        await client.publish_dataset(client.submit(inc, 1), name="x")
        assert list(await client.list_datasets()) == ["x"]
        assert await (await client.get_dataset("x")) == 2
        assert await client.get_dataset("y", default=None) is None
        with pytest.raises(KeyError, match="already exists"):
            await client.publish_dataset(2, name="x")
        await client.unpublish_dataset("x")
        assert list(await client.list_datasets()) == []

    run(test)


def test_datasets_are_an_asynchronous_mapping(run: Run) -> None:
    async def test(client: Any) -> None:
        await client.publish_dataset(1, name="x")
        assert [name async for name in client.datasets] == ["x"]

    run(test)


def test_metadata_is_awaited(run: Run) -> None:
    async def test(client: Any) -> None:
        await client.set_metadata(["x", "y"], 1)
        assert await client.get_metadata("x") == {"y": 1}

    run(test)
