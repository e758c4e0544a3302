from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

import pytest

import nbcluster
from nbcluster.deadlines import within
from tests.support.links import run


def test_what_is_done_in_time_is_returned() -> None:
    async def main() -> None:
        assert await within(asyncio.sleep(0, "done"), 10) == "done"
        assert await within(asyncio.sleep(0, "done"), None) == "done"
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        done.set_result(1)
        assert await within(done, 0) == 1

    run("uvloop", main())


def test_what_is_not_is_cancelled() -> None:
    async def main() -> None:
        never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        with pytest.raises(asyncio.TimeoutError):
            await within(never, 0.001)
        assert never.cancelled()

    run("uvloop", main())


def test_what_is_done_all_the_same_when_it_is_cancelled_is_returned() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done"
        raise AssertionError

    async def main() -> None:
        assert await within(stubborn(), 0.001) == "done"

    run("uvloop", main())


def test_its_error_is_raised_and_keeps_nothing_alive() -> None:
    class Precious:
        pass

    async def fails(precious: Precious) -> None:
        raise ValueError("no")

    async def main() -> None:
        precious = Precious()
        alive = weakref.ref(precious)
        with pytest.raises(ValueError, match="no") as caught:
            await within(fails(precious), 10)
        del precious, caught
        await asyncio.sleep(0)
        assert alive() is None, "without a look of the garbage collector"

    gc.disable()
    try:
        run("asyncio", main())
    finally:
        gc.enable()


def test_a_cancellation_in_the_turn_in_which_it_is_done_is_not_forgotten() -> None:
    async def main() -> None:
        unwanted: list[int] = []
        awaited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(within(awaited, 10, unwanted.append))
        await asyncio.sleep(0)
        awaited.set_result(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert unwanted == [1]

    run("uvloop", main())


def test_a_cancellation_cancels_what_is_waited_for() -> None:
    async def main() -> None:
        awaited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(within(awaited, 10))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert awaited.cancelled()

    run("uvloop", main())


def test_nothing_waits_in_a_way_that_forgets_cancellations() -> None:
    sources = Path(nbcluster.__file__).parent.rglob("*.py")
    assert not [str(path) for path in sources if "asyncio.wait_for(" in path.read_text()]
