from __future__ import annotations

import asyncio
import gc
import importlib
import operator
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from nbcluster.errors import RemoteError
from nbcluster.protocol.exceptions import load_exception
from nbcluster.protocol.messages import (
    ComputeTask,
    TaskDone,
    TaskErred,
    TaskRejoined,
    TaskSeceded,
)
from nbcluster.protocol.serialize import dump_call, dump_function
from nbcluster.store.flight_recorder import FlightRecorder
from nbcluster.types import RunId
from nbcluster.worker import context
from nbcluster.worker.coroutines import CoroutineLoop
from nbcluster.worker.events import Finished, Outcome
from nbcluster.worker.executor import TELL_LIMIT, Executor
from nbcluster.worker.functions import FunctionTable
from nbcluster.worker.runner import Runner
from tests.support.eventually import soon
from tests.support.links import DEADLINE, run


class Bench:
    """An executor, and what it delivers."""

    def __init__(self, nthreads: int = 1, **options: Any) -> None:
        self.batches: list[list[Outcome]] = []
        self.functions = FunctionTable()
        self.coroutines = CoroutineLoop()
        self.runner = Runner(self.functions, self.coroutines)
        self.executor = Executor(nthreads, self.runner, self.batches.append, **options)
        self.run_ids = 0

    def task(self, function: Callable[..., Any], *args: Any, priority: int = 0) -> ComputeTask:
        function_id, definition = dump_function(function)
        self.functions.define({function_id: definition})
        self.run_ids += 1
        call = dump_call(args, {})
        return ComputeTask(
            f"key-{self.run_ids}", self.run_ids, function_id, call.data, (0, priority), (), tuple(call.frames)
        )

    def submit(self, function: Callable[..., Any], *args: Any, inputs: dict[str, Any] | None = None) -> RunId:
        self.executor.submit([(self.task(function, *args), inputs)])
        return self.run_ids

    def threads_have_ended(self, within: float) -> bool:
        """Wait for those threads that the executor began with."""
        end = time.monotonic() + within
        for thread in self.executor._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self.executor._threads)

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for batch in self.batches for outcome in batch]

    async def count(self, count: int) -> list[Outcome]:
        await soon(lambda: len(self.outcomes) >= count)
        return self.outcomes

    async def outcome(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Run one task."""
        self.submit(function, *args, **options)
        return (await self.count(1))[0]

    async def error(self, function: Callable[..., Any], *args: Any, **options: Any) -> BaseException:
        """Run one task that errs."""
        erred = await self.outcome(function, *args, **options)
        assert isinstance(erred, TaskErred)
        return load_exception(erred.error)


def with_bench(test: Callable[[Bench], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        bench = Bench(**options)
        try:
            await test(bench)
        finally:
            bench.executor.close()
            bench.coroutines.close()
        assert bench.threads_have_ended(DEADLINE)

    run("uvloop", main())


class Gates:
    """Events that tasks and tests share, in this process."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.open = threading.Event()
        self.resume = threading.Event()

    def wait(self) -> None:
        self.started.set()
        assert self.open.wait(DEADLINE)


gates = Gates()


@pytest.fixture(autouse=True)
def _closed_gates() -> None:
    gates.__init__()  # type: ignore[misc]


def here() -> Any:
    """This module, found by name: what travels by value takes copies of its globals along."""
    return importlib.import_module(__name__)


def wait_at_gate() -> None:
    here().gates.wait()


class Thing:
    pass


def raise_it(error: BaseException) -> Any:
    raise error


# --- threads


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError("no")], ids=repr
)
def test_whatever_would_end_a_thread_errs_the_task_and_the_thread_lives(error: BaseException) -> None:
    async def test(bench: Bench) -> None:
        shown = await bench.error(raise_it, error)
        assert isinstance(shown, RemoteError)
        assert shown.text == str(error)
        assert type(shown.__cause__) is type(error)
        bench.submit(operator.add, 1, 2)
        assert (await bench.count(2))[1].value == 3  # type: ignore[union-attr]

    with_bench(test)


def test_even_a_failure_that_cannot_be_told_errs_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*args: Any) -> Any:
        raise MemoryError

    async def test(bench: Bench) -> None:
        monkeypatch.setattr(bench.runner, "_erred", no_memory)
        assert isinstance(await bench.error(raise_it, ValueError("bad")), MemoryError)

    with_bench(test)


def test_runs_start_by_priority_then_by_age() -> None:
    async def test(bench: Bench) -> None:
        bench.submit(wait_at_gate)
        await asyncio.to_thread(gates.started.wait, DEADLINE)
        tasks = [bench.task(operator.add, 0, 0, priority=priority) for priority in (5, 1, 5, 0)]
        bench.executor.submit([(task, None) for task in tasks])
        gates.open.set()
        outcomes: Any = await bench.count(5)
        assert [outcome.done.run_id for outcome in outcomes] == [1, 5, 3, 2, 4]

    with_bench(test)


def test_only_what_has_not_started_is_recalled() -> None:
    async def test(bench: Bench) -> None:
        running = bench.submit(wait_at_gate)
        await asyncio.to_thread(gates.started.wait, DEADLINE)
        queued = bench.submit(operator.add, 1, 2)
        assert (bench.executor.executing, bench.executor.queued) == (1, 1)
        assert bench.executor.recall([running, queued, 99]) == [queued]
        assert bench.executor.queued == 0
        gates.open.set()
        outcomes: Any = await bench.count(1)
        bench.submit(operator.add, 1, 2)
        outcomes = await bench.count(2)
        assert [outcome.done.run_id for outcome in outcomes] == [1, 3]

    with_bench(test)


def test_threads_work_side_by_side() -> None:
    barrier = threading.Barrier(3)

    async def test(bench: Bench) -> None:
        here().barrier = barrier
        for _ in range(3):
            bench.submit(lambda: here().barrier.wait(DEADLINE))
        outcomes: Any = await bench.count(3)
        assert {outcome.done.thread for outcome in outcomes} == {0, 1, 2}

    with_bench(test, nthreads=3)


def test_the_loop_is_woken_once_for_all_outcomes_that_gather() -> None:
    async def test(bench: Bench) -> None:
        executor = bench.executor
        wake_ups = 0
        call_soon_threadsafe = executor._loop.call_soon_threadsafe

        class CountingLoop:
            def call_soon_threadsafe(self, function: Any) -> None:
                nonlocal wake_ups
                wake_ups += 1
                call_soon_threadsafe(function)

        executor._loop = CountingLoop()  # type: ignore[assignment]
        done = threading.Event()
        here().done = done
        executor.submit([(bench.task(operator.add, 0, 0), None) for _ in range(1000)])
        executor.submit([(bench.task(lambda: here().done.set()), None)])
        assert done.wait(DEADLINE)  # the loop does not turn meanwhile
        assert wake_ups == 1
        await bench.count(1001)
        assert len(bench.batches[0]) >= 1000
        assert wake_ups == len(bench.batches) <= 2

    with_bench(test)


def test_the_flight_recorder_knows_what_each_thread_runs() -> None:
    class Log:
        def __init__(self) -> None:
            self.events: list[tuple[str, int, int | None]] = []

        def enter(self, thread: int, run_id: int) -> None:
            self.events.append(("enter", thread, run_id))

        def leave(self, thread: int) -> None:
            self.events.append(("leave", thread, None))

    log = Log()

    async def test(bench: Bench) -> None:
        bench.submit(raise_it, SystemExit())
        bench.submit(operator.add, 1, 2)
        await bench.count(2)
        assert log.events == [("enter", 0, 1), ("leave", 0, None), ("enter", 0, 2), ("leave", 0, None)]

    with_bench(test, recorder=log)


def test_an_idle_thread_keeps_no_result_alive() -> None:
    async def test(bench: Bench) -> None:
        finished = await bench.outcome(Thing)
        ref = weakref.ref(finished.value)
        del finished
        bench.batches.clear()
        gc.collect()
        assert ref() is None

    with_bench(test)


def test_threads_without_a_task_are_gone_once_they_were_waited_for_and_one_in_a_task_is_left_to_itself() -> None:
    async def test(bench: Bench) -> None:
        bench.submit(wait_at_gate)
        await asyncio.to_thread(gates.started.wait, DEADLINE)
        bench.executor.close()
        bench.executor.join_idle()
        assert [thread.is_alive() for thread in bench.executor._threads].count(True) == 1
        gates.open.set()

    with_bench(test, nthreads=4)


def test_a_closed_executor_delivers_nothing_more_and_its_threads_end() -> None:
    async def test(bench: Bench) -> None:
        bench.submit(wait_at_gate)
        bench.submit(operator.add, 1, 2)
        await asyncio.to_thread(gates.started.wait, DEADLINE)
        bench.executor.close()
        bench.executor.close()
        assert not bench.threads_have_ended(0)
        gates.open.set()
        assert await asyncio.to_thread(bench.threads_have_ended, DEADLINE)
        await asyncio.sleep(0)
        assert bench.outcomes == []

    with_bench(test)


def test_all_threads_are_daemons_so_that_a_hung_task_keeps_nobody_from_leaving() -> None:
    async def test(bench: Bench) -> None:
        assert all(thread.daemon for thread in bench.executor._threads)

    with_bench(test)


def successes(bench: Bench) -> list[Finished]:
    return [outcome for outcome in bench.outcomes if isinstance(outcome, Finished)]


class Teller:
    """Reports successes from their thread, unless it is told not to."""

    def __init__(self) -> None:
        self.told: list[RunId] = []
        self.may = True

    def __call__(self, done: TaskDone, first: Callable[[], None]) -> bool:
        if self.may:
            first()
            self.told.append(done.run_id)
        return self.may


def test_a_thread_tells_of_a_small_result_itself_before_the_loop_is_woken() -> None:
    teller = Teller()

    async def test(bench: Bench) -> None:
        bench.submit(operator.neg, 1)
        while not teller.told:  # the loop is held up right here
            pass
        assert not bench.outcomes
        bench.executor.collect()
        assert [(success.done.run_id, success.told) for success in successes(bench)] == [(1, True)]
        assert len(await bench.count(1)) == 1

    with_bench(test, tell=teller)


def test_the_loop_is_not_woken_for_what_a_thread_has_told() -> None:
    teller = Teller()

    async def test(bench: Bench) -> None:
        executor = bench.executor
        executor._loop = None  # type: ignore[assignment]
        bench.submit(operator.neg, 1)
        await soon(lambda: teller.told == [1])
        bench.submit(operator.neg, 2)  # the first has been told, and not collected: this one is for the loop
        executor._loop = asyncio.get_running_loop()
        assert [success.told for success in [*await bench.count(2)] if isinstance(success, Finished)] == [True, False]

    with_bench(test, tell=teller)


def test_the_loop_tells_what_a_thread_may_not() -> None:
    teller = Teller()

    async def test(bench: Bench) -> None:
        large = await bench.outcome(bytes, TELL_LIMIT + 1)
        bench.batches.clear()
        failed = await bench.outcome(operator.truediv, 1, 0)
        bench.batches.clear()
        teller.may = False
        refused = await bench.outcome(operator.neg, 2)
        assert (large.told, type(failed), refused.told, teller.told) == (False, TaskErred, False, [])

    with_bench(test, tell=teller)


def test_of_many_results_only_one_that_is_alone_is_told_by_its_thread() -> None:
    """The others are reported together: one message and one wake-up for many."""
    teller = Teller()

    async def test(bench: Bench) -> None:
        bench.executor.submit([(bench.task(operator.neg, number), None) for number in range(1000)])
        await bench.count(1000)
        assert sorted(success.done.run_id for success in successes(bench)) == list(range(1, 1001))
        assert [success.done.run_id for success in successes(bench) if success.told] == teller.told
        assert set(teller.told) <= {1000}

    with_bench(test, tell=teller)


# --- seats


def give_up_and_wait() -> bool:
    seat = context.current_seat()
    assert seat is not None
    seceded = seat.secede(waiting=True)
    wait_at_gate()
    seat.rejoin()
    return seceded


def test_a_task_that_gives_up_its_seat_makes_room_for_the_next() -> None:
    async def test(bench: Bench) -> None:
        bench.submit(give_up_and_wait)
        await asyncio.to_thread(gates.started.wait, DEADLINE)
        bench.submit(operator.add, 1, 2)
        outcomes: Any = await bench.count(2)
        assert [type(outcome) for outcome in outcomes] == [TaskSeceded, Finished]
        assert bench.executor.executing == 0  # the first one only waits
        gates.open.set()
        outcomes = (await bench.count(4))[2:]
        assert (type(outcomes[0]), outcomes[0].run_id, outcomes[1].value) == (TaskRejoined, 1, True)

    with_bench(test)


def secede_and_rejoin() -> str:
    seat = context.current_seat()
    assert seat is not None
    seat.secede()
    gates = here().gates
    gates.resume.wait(DEADLINE)
    seat.rejoin()
    return "rejoined" if gates.open.is_set() else "too early"


def test_whoever_rejoins_waits_for_a_thread_that_is_through() -> None:
    async def test(bench: Bench) -> None:
        bench.submit(secede_and_rejoin)
        await bench.count(1)
        bench.submit(wait_at_gate)
        await asyncio.to_thread(gates.started.wait, DEADLINE)
        gates.resume.set()
        await soon(lambda: bool(bench.executor._seats.wanted))
        gates.open.set()
        outcomes: Any = await bench.count(4)
        assert "rejoined" in [getattr(outcome, "value", "") for outcome in outcomes]
        bench.submit(operator.add, 1, 2)  # and there is one thread that works, not none and not two
        outcomes = await bench.count(5)
        assert outcomes[-1].value == 3

    with_bench(test)


def test_close_lets_those_go_that_wait_for_a_seat() -> None:
    before = set(threading.enumerate())

    async def test(bench: Bench) -> None:
        bench.submit(give_up_and_wait)
        await asyncio.to_thread(gates.started.wait, DEADLINE)
        threads = [t for t in set(threading.enumerate()) - before if t.name.startswith("nbcluster-task")]
        bench.executor.close()
        gates.open.set()
        for thread in threads:
            await asyncio.to_thread(thread.join, DEADLINE)
        assert not any(thread.is_alive() for thread in threads)

    with_bench(test)


def test_a_task_that_waits_is_not_on_record_and_afterwards_it_is() -> None:
    recorder = FlightRecorder.open(FlightRecorder.create().fd)

    async def test(bench: Bench) -> None:
        bench.submit(give_up_and_wait)
        await asyncio.to_thread(gates.started.wait, DEADLINE)
        assert recorder.suspects() == []
        gates.open.set()
        await bench.count(3)
        assert recorder.suspects() == [1]

    with_bench(test, recorder=recorder)
    recorder.close()
