"""What becomes of one task, in the thread that runs it."""

from __future__ import annotations

import asyncio
import operator
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from nbcluster.errors import RemoteError, Reschedule, SerializationError
from nbcluster.protocol.exceptions import load_exception
from nbcluster.protocol.messages import ComputeTask, TaskErred, TaskRescheduled
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.serialize import TaskRef, dump, dump_call, dump_function, load
from nbcluster.store.memory import Datum
from nbcluster.store.spill import SpillError
from nbcluster.worker import context
from nbcluster.worker.coroutines import CoroutineLoop
from nbcluster.worker.events import Finished, InputsLost
from nbcluster.worker.functions import FunctionTable
from nbcluster.worker.runner import INLINE_LIMIT, Runner
from nbcluster.worker.seats import Seat

INNER = [ValueError("inner"), SystemExit(3), RecursionError("deep"), KeyboardInterrupt()]


class Bench:
    """A runner, used in this thread."""

    def __init__(self) -> None:
        self.functions = FunctionTable()
        self.coroutines = CoroutineLoop()
        nobody: Any = None
        self.seat = Seat(nobody, 3)
        self.log: list[Any] = []
        self.runner = Runner(
            self.functions, self.coroutines, on_task_end=lambda: self.log.append("end"), on_large=self.log.append
        )

    def make_live(self) -> None:
        """Have it run tasks as it does in a process that others share."""
        self.runner = Runner(self.functions, self.coroutines, live=True)

    def task(self, function: Callable[..., Any], *args: Any) -> ComputeTask:
        """A task that calls this."""
        function_id, definition = dump_function(function)
        self.functions.define({function_id: definition})
        call = dump_call(args, {})
        return ComputeTask("x", 1, function_id, call.data, (0, 0), (), tuple(call.frames))

    def outcome(self, function: Callable[..., Any], *args: Any, inputs: dict[str, Any] | None = None) -> Any:
        """Run one task."""
        return self.runner.run(self.seat, self.task(function, *args), inputs)

    def error(self, function: Callable[..., Any], *args: Any, inputs: dict[str, Any] | None = None) -> BaseException:
        """Run one task that errs."""
        erred = self.outcome(function, *args, inputs=inputs)
        assert isinstance(erred, TaskErred)
        return load_exception(erred.error)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.coroutines.close()


class Misbehaving:
    """Raises when it is pickled, or when it is unpickled."""

    def __init__(self, when: str, error: BaseException) -> None:
        self.when = when
        self.error = error

    def __reduce__(self) -> Any:
        if self.when == "dump":
            raise self.error
        return raise_it, (self.error,)


def raise_it(error: BaseException) -> Any:
    raise error


# --- results


def test_a_small_result_comes_pickled_with_what_was_measured(bench: Bench) -> None:
    finished = bench.outcome(operator.add, 1, 2)
    assert isinstance(finished, Finished)
    done = finished.done
    assert finished.value == 3
    assert done.payload is not None
    assert load(done.payload) == 3
    assert (done.key, done.run_id, done.type_name, done.thread) == ("x", 1, "int", 3)
    assert 0 < done.nbytes < 100
    assert done.start <= done.stop


def test_a_small_array_travels_without_frames(bench: Bench) -> None:
    done = bench.outcome(np.zeros, 5000).done
    assert done.payload.frames == ()
    assert load(done.payload).flags.writeable


def test_a_large_result_stays_where_it_is_and_its_bytes_are_told_first(bench: Bench) -> None:
    finished = bench.outcome(bytes, INLINE_LIMIT + 1)
    assert finished.done.payload is None
    assert len(finished.value) == INLINE_LIMIT + 1
    assert bench.log == [finished.done.nbytes, "end"]


def test_in_process_results_are_live_and_arguments_are_private(bench: Bench) -> None:
    bench.make_live()
    task = bench.task(lambda a: a, np.zeros(10_000))
    finished: Any = bench.runner.run(bench.seat, task, None)
    assert finished.done.payload.is_live
    assert load(finished.done.payload) is finished.value
    finished.value[0] = 1
    again: Any = bench.runner.run(bench.seat, task, None)
    assert again.value[0] == 0


def test_dependencies_are_put_in_place_whatever_form_they_have(bench: Bench) -> None:
    inputs = {
        "live": Datum(1, 28),
        "stored": Datum.pickled(dump(10), 28),
        "along": dump(100),
    }
    assert bench.outcome(sum, [TaskRef(key) for key in inputs], inputs=inputs).value == 111


def test_a_coroutine_function_is_run_to_its_end(bench: Bench) -> None:
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    assert bench.outcome(later, 1).value == 2


def test_a_task_knows_its_key_and_whoever_comes_after_it_does_not(bench: Bench) -> None:
    def sit_and_run() -> tuple[Any, Any]:
        context.sit(bench.seat, None)
        return bench.outcome(context.current_key).value, context.current_key()

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(sit_and_run).result() == ("x", None)


@pytest.mark.parametrize("function", [int, lambda: 1 / 0], ids=["returns", "raises"])
def test_the_end_of_a_task_is_told_however_it_ends(bench: Bench, function: Callable[[], Any]) -> None:
    bench.outcome(function)
    assert bench.log == ["end"]


def test_the_seat_knows_when_its_run_began(bench: Bench) -> None:
    assert bench.seat.since == 0
    bench.outcome(int)
    assert bench.seat.since > 0


# --- errors


def test_a_task_that_raises_errs_with_its_own_frames(bench: Bench) -> None:
    erred = bench.outcome(raise_it, ValueError("bad"))
    assert (erred.key, erred.run_id, erred.text) == ("x", 1, "ValueError: bad")
    error = load_exception(erred.error)
    assert error.__traceback__ is not None
    assert error.__traceback__.tb_frame.f_code.co_name == "raise_it"


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError("no")], ids=repr
)
def test_whatever_would_end_a_thread_errs_the_task_with_a_stand_in(bench: Bench, error: BaseException) -> None:
    shown = bench.error(raise_it, error)
    assert isinstance(shown, RemoteError)
    assert shown.text == str(error)
    assert type(shown.__cause__) is type(error)


def test_sys_exit_errs_the_task(bench: Bench) -> None:
    assert str(bench.error(sys.exit, 4)) == "SystemExit: 4"


def test_reschedule_gives_the_task_back(bench: Bench) -> None:
    assert bench.outcome(raise_it, Reschedule()) == TaskRescheduled("x", 1)


def test_inputs_that_cannot_be_read_back_are_named(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    class Unreadable(Datum):
        def load(self) -> Any:
            raise SpillError("the file is gone")

    inputs = {"a": Unreadable(None, 1), "b": Datum(2, 28), "c": Unreadable(None, 1)}
    outcome = bench.outcome(sum, [TaskRef(key) for key in inputs], inputs=inputs)
    assert outcome == InputsLost("x", 1, ["a", "c"])
    assert "a has to be computed again: the file is gone" in caplog.text


@pytest.mark.parametrize("inner", INNER, ids=repr)
def test_an_argument_that_cannot_be_unpickled_errs_the_task(bench: Bench, inner: BaseException) -> None:
    shown = bench.error(repr, Misbehaving("load", inner))
    assert isinstance(shown, (SerializationError, RemoteError))
    assert type(shown.__cause__) is type(inner)


@pytest.mark.parametrize("inner", INNER[:2], ids=repr)
def test_a_result_that_cannot_be_pickled_stays_here(bench: Bench, inner: BaseException) -> None:
    outcome = bench.outcome(lambda error: Misbehaving("dump", error), inner)
    assert isinstance(outcome, Finished)
    assert isinstance(outcome.value, Misbehaving)
    assert outcome.done.payload is None


@pytest.mark.parametrize("when", ["dump", "load"])
@pytest.mark.parametrize("inner", [ValueError("inner"), SystemExit(3)], ids=repr)
def test_an_exception_that_cannot_travel_errs_the_task_with_a_stand_in(
    bench: Bench, when: str, inner: BaseException
) -> None:
    class Hostile(Exception):
        def __reduce__(self) -> Any:
            return Misbehaving(when, inner).__reduce__()

        def __str__(self) -> str:
            return "hostile"

    def work() -> None:
        raise Hostile

    error = bench.error(work)
    assert isinstance(error, RemoteError)
    assert error.text == "hostile"
    assert isinstance(error.__cause__, SerializationError)


def test_a_function_that_cannot_be_unpickled_errs_the_task(bench: Bench) -> None:
    task = bench.task(operator.add, 1, 2)
    bench.functions.forget([task.function])
    bench.functions.define({task.function: Payload(b"\x80\x05\x8c\x07nowhere\x94\x8c\x01f\x94\x93.")})
    erred = bench.runner.run(bench.seat, task, None)
    assert isinstance(erred, TaskErred)
    error = load_exception(erred.error)
    assert isinstance(error, SerializationError)
    assert isinstance(error.__cause__, ModuleNotFoundError)


def test_a_dependency_that_cannot_be_unpickled_errs_the_task(bench: Bench) -> None:
    inputs = {"x": dump(Misbehaving("load", ValueError("inner")))}
    error = bench.error(abs, TaskRef("x"), inputs=inputs)
    assert isinstance(error, SerializationError)
    assert "result of x" in str(error)


def test_a_failure_that_cannot_be_told_has_an_outcome_all_the_same(bench: Bench) -> None:
    erred = bench.runner.untold(bench.seat, bench.task(int))
    assert (erred.key, erred.run_id, erred.thread) == ("x", 1, 3)
    assert isinstance(load_exception(erred.error), MemoryError)
