"""Calls that a worker makes beside its tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from nbcluster.protocol.calling import dump_side_call
from nbcluster.protocol.exceptions import load_exception
from nbcluster.protocol.running import CallEnded, CallRaised, Returned, RunCall
from nbcluster.protocol.serialize import load
from nbcluster.worker.side_calls import SideCalls
from tests.support.eventually import soon
from tests.support.links import run

WORKER = "the worker"
log: list[Any] = []


def with_calls(test: Callable[[SideCalls, list[CallEnded]], Awaitable[None]]) -> None:
    async def main() -> None:
        ended: list[CallEnded] = []
        calls = SideCalls(WORKER, ended.append)
        try:
            await test(calls, ended)
        finally:
            calls.close()

    log.clear()
    run("uvloop", main())


def call(number: int, function: Any, *args: Any, turn: bool = False) -> RunCall:
    return RunCall(number, dump_side_call(function, args, {}), turn)


def given(dask_worker: Any) -> Any:
    return dask_worker, threading.current_thread().name


async def waiting(dask_worker: Any) -> Any:
    await asyncio.sleep(0)
    return dask_worker, threading.current_thread().name


def failing() -> None:
    raise SystemExit("bye")


def noting(what: str) -> None:
    log.append(what)


def returning_a_lock() -> Any:
    return threading.Lock()


def test_functions_run_in_threads_and_coroutines_on_the_loop() -> None:
    async def test(calls: SideCalls, ended: list[CallEnded]) -> None:
        calls.start(call(1, given))
        calls.start(call(2, waiting))
        await soon(lambda: len(ended) == 2)
        values = {e.number: load(e.outcome.value) for e in ended if isinstance(e.outcome, Returned)}
        (worker, thread), (same, loop_thread) = values[1], values[2]
        assert worker == same == WORKER
        assert thread.startswith("nbcluster-run-")
        assert loop_thread == threading.current_thread().name

    with_calls(test)


def counting() -> Any:
    yield 1


def test_only_a_coroutine_is_awaited() -> None:
    async def test(calls: SideCalls, ended: list[CallEnded]) -> None:
        calls.start(call(1, counting))
        await soon(lambda: len(ended) == 1)
        assert isinstance(ended[0].outcome, CallRaised)
        assert "of type generator" in str(load_exception(ended[0].outcome.error))

    with_calls(test)


def test_whatever_a_call_raises_is_its_outcome() -> None:
    async def test(calls: SideCalls, ended: list[CallEnded]) -> None:
        calls.start(call(1, failing))
        calls.start(call(2, returning_a_lock))
        calls.start(RunCall(3, type(dump_side_call(given, (), {}))(b"not a pickle")))
        await soon(lambda: len(ended) == 3)
        errors = {e.number: load_exception(e.outcome.error) for e in ended if isinstance(e.outcome, CallRaised)}
        assert "SystemExit" in str(errors[1])
        assert "result" in str(errors[2])
        assert set(errors) == {1, 2, 3}

    with_calls(test)


def test_calls_with_a_turn_are_made_in_order_and_others_need_not_wait() -> None:
    gate = threading.Event()

    async def test(calls: SideCalls, ended: list[CallEnded]) -> None:
        calls.start(call(1, passing_gate, turn=True))
        calls.start(call(2, noting, "second", turn=True))
        calls.start(call(3, noting, "at once"))
        await soon(lambda: log == ["at once"])
        gates[0].set()
        await soon(lambda: [e.number for e in ended] == [3, 1, 2])
        assert log == ["at once", "first", "second"]

    gates[:] = [gate]
    with_calls(test)


gates: list[threading.Event] = []


def passing_gate() -> None:
    gates[0].wait(30)
    log.append("first")


def test_nothing_is_told_after_the_end() -> None:
    async def test(calls: SideCalls, ended: list[CallEnded]) -> None:
        calls.start(call(1, noting, "late"))
        calls.close()
        await soon(lambda: log == ["late"])
        await asyncio.sleep(0)
        assert ended == []

    with_calls(test)
