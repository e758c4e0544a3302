"""``client.get_executor``: a client as an executor of ``concurrent.futures``."""

from __future__ import annotations

import asyncio
import concurrent.futures
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.gates import Gate, Mishap, Tally, add, at_gate, fail_with, inc, tallied
from tests.support.eventually import eventually


@pytest.fixture
def executor(client: Any) -> Iterator[Any]:
    with client.get_executor() as executor:
        yield executor


def test_it_is_an_executor_with_futures_of_the_standard_library(executor: Any) -> None:
    assert isinstance(executor, concurrent.futures.Executor)
    future = executor.submit(inc, 1)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(timeout=30) == 2


def test_errors_are_raised_by_result_and_told_by_exception(executor: Any) -> None:
    future = executor.submit(fail_with, "too bad")
    with pytest.raises(Mishap, match="too bad"):
        future.result(timeout=30)
    assert isinstance(future.exception(), Mishap)


def test_map_yields_results_in_order(executor: Any) -> None:
    assert list(executor.map(add, range(5), range(10, 15))) == [10, 12, 14, 16, 18]
    assert list(executor.map(inc, [])) == []


def test_map_stops_at_the_first_error(executor: Any) -> None:
    results = executor.map(operator.truediv, [6, 1, 3], [3, 0, 3])
    assert next(results) == 2
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_map_with_a_timeout_raises_when_it_is_over(executor: Any, gate: Gate) -> None:
    with pytest.raises(concurrent.futures.TimeoutError):
        list(executor.map(at_gate, [gate], timeout=0.05))


def test_wait_and_as_completed_of_the_standard_library_work(executor: Any) -> None:
    futures = [executor.submit(inc, number) for number in range(4)]
    done, not_done = concurrent.futures.wait(futures, timeout=30)
    assert (len(done), len(not_done)) == (4, 0)
    assert sorted(f.result() for f in concurrent.futures.as_completed(futures)) == [1, 2, 3, 4]


def test_a_cancelled_future_is_cancelled_on_the_cluster(executor: Any, gate: Gate, client: Any) -> None:
    running = client.submit(at_gate, gate, 0)
    waiting = executor.submit(_after, running, gate)
    eventually(lambda: client.run_on_scheduler(_count_of_after) == 1, "the call is known")
    assert waiting.cancel()
    assert waiting.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        waiting.result(timeout=30)
    eventually(lambda: client.run_on_scheduler(_count_of_after) == 0, "it is forgotten")
    gate.open()
    assert running.result(timeout=30) == 0
    assert gate.visitors.count == 1


def _after(value: Any, gate: Gate) -> Any:
    return gate.pass_through(value)


def _count_of_after(dask_scheduler: Any) -> int:
    return sum(str(key).startswith("_after") for key in dask_scheduler.tasks)


def test_options_go_to_every_call(client: Any) -> None:
    address = list(client.scheduler_info()["workers"])[1]
    with client.get_executor(workers=[address], pure=False) as executor:
        assert list(executor.map(inc, [1, 2])) == [2, 3]
    with pytest.raises(TypeError, match=r"unsupported arguments to ClientExecutor: .*'typo'"):
        client.get_executor(typo=1)


def test_shutdown_waits_and_refuses_what_comes_after(client: Any) -> None:
    executor = client.get_executor()
    future = executor.submit(inc, 1)
    executor.shutdown()
    assert future.done()
    executor.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(inc, 1)
    assert client.submit(inc, 1).result() == 2


def test_an_event_loop_can_run_things_in_it(client: Any) -> None:
    async def use() -> Any:
        loop = asyncio.get_running_loop()
        with client.get_executor() as executor:
            return await asyncio.gather(*(loop.run_in_executor(executor, inc, n) for n in range(3)))

    assert asyncio.run(use()) == [1, 2, 3]


@pytest.mark.differs("executor")
def test_equal_calls_are_made_each_time_unless_they_are_pure(client: Any, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")
    with client.get_executor() as executor:
        futures = [executor.submit(tallied, tally) for _ in range(2)]
        concurrent.futures.wait(futures)
        assert tally.count == 2
    with client.get_executor(pure=True) as executor:
        futures = [executor.submit(tallied, tally, 1) for _ in range(2)]
        concurrent.futures.wait(futures)
        assert tally.count == 3


@pytest.mark.differs("executor")
def test_map_in_chunks_makes_a_task_of_each_chunk(client: Any) -> None:
    with client.get_executor() as executor:
        assert list(executor.map(inc, range(7), chunksize=3)) == [1, 2, 3, 4, 5, 6, 7]
        with pytest.raises(ValueError, match="chunksize=0 is out of range"):
            executor.map(inc, range(7), chunksize=0)


@pytest.mark.differs("executor")
def test_map_with_a_buffer_takes_no_more_than_that_in_advance(client: Any) -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            yield number

    with client.get_executor() as executor:
        results = executor.map(inc, numbers(), buffersize=2)
        assert taken == [0, 1]
        assert next(results) == 1
        assert taken == [0, 1, 2]
        assert list(results) == list(range(2, 11))


@pytest.mark.differs("executor")
def test_shutdown_can_cancel_what_has_not_run(client: Any, gate: Gate) -> None:
    executor = client.get_executor()
    running = [executor.submit(at_gate, gate, number) for number in range(2)]
    gate.wait_for_visitors(2)
    waiting = [executor.submit(at_gate, gate, number) for number in range(5)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in running + waiting)
    gate.open()
    assert client.submit(inc, 1).result() == 2


def test_an_asynchronous_client_has_one_for_what_takes_an_executor(api: Any, keywords: Any) -> None:
    async def main() -> None:
        async with api.Client(asynchronous=True, **keywords()) as client:
            executor = client.get_executor()
            assert await asyncio.get_running_loop().run_in_executor(executor, inc, 1) == 2
            assert len(await asyncio.wrap_future(executor.submit(bytes, 3_000_000))) == 3_000_000
            with pytest.raises(ZeroDivisionError):
                await asyncio.wrap_future(executor.submit(divmod, 1, 0))

    asyncio.run(main())


@pytest.mark.differs("executor")
def test_nobody_waits_for_it_on_the_event_loop_of_an_asynchronous_client(api: Any, keywords: Any, gate: Gate) -> None:
    async def main() -> None:
        async with api.Client(asynchronous=True, **keywords()) as client:
            executor = client.get_executor()
            with pytest.raises(RuntimeError, match=r"map\(\) would wait for tasks on the event loop"):
                executor.map(inc, [1])
            assert await asyncio.to_thread(lambda: list(executor.map(inc, [1, 2]))) == [2, 3]
            late = executor.submit(at_gate, gate)
            with pytest.raises(RuntimeError, match=r"shutdown\(\) would wait"):
                executor.shutdown()
            assert late.cancel()
            executor.shutdown()

    asyncio.run(main())
