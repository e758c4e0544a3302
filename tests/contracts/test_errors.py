from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.contracts.gates import Gate, Mishap, Tally, fail_first, fail_with, inc
from tests.support.eventually import eventually


def test_what_a_task_raises_is_raised_here(client: Any) -> None:
    with pytest.raises(Mishap, match="boom"):
        client.submit(fail_with, "boom").result()


def test_the_traceback_shows_the_function_of_the_task(client: Any) -> None:
    with pytest.raises(Mishap) as caught:
        client.submit(fail_with, "boom").result()
    text = "".join(traceback.format_exception(caught.value))
    assert "in fail_with" in text
    assert "raise Mishap(text)" in text


def test_an_exception_is_there_for_the_asking(client: Any) -> None:
    future = client.submit(fail_with, "boom")
    assert isinstance(future.exception(), Mishap)
    assert isinstance(future.traceback(), TracebackType)
    assert "in fail_with" in "".join(traceback.format_tb(future.traceback()))


def test_a_success_has_no_exception(client: Any) -> None:
    future = client.submit(inc, 1)
    assert future.exception() is None
    assert future.traceback() is None


def test_the_cause_of_an_exception_comes_along(client: Any) -> None:
    with pytest.raises(Mishap, match="second") as caught:
        client.submit(_fail_twice).result()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def _fail_twice() -> None:
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError as error:
        raise Mishap("second") from error


def test_each_caller_gets_the_error(client: Any) -> None:
    future = client.submit(fail_with, "boom")
    for _ in range(3):
        with pytest.raises(Mishap, match="boom"):
            future.result()


def test_an_exception_with_attributes_keeps_them(client: Any) -> None:
    with pytest.raises(OSError, match="no such thing") as caught:
        client.submit(_fail_with_attributes).result()
    assert (caught.value.errno, caught.value.filename, caught.value.advice) == (2, "thing.txt", "make it")  # type: ignore[attr-defined]


def _fail_with_attributes() -> None:
    error = FileNotFoundError(2, "no such thing", "thing.txt")
    error.advice = "make it"  # type: ignore[attr-defined]
    raise error


def test_a_result_that_cannot_be_pickled_or_used_does_not_stop_the_worker(client: Any) -> None:
    client.submit(_make_generator).exception()
    assert client.gather(client.map(inc, range(4), pure=False)) == [1, 2, 3, 4]


def _make_generator() -> Any:
    return (x for x in [1])


def test_an_erred_task_can_be_retried(client: Any, tmp_path: Path) -> None:
    future = client.submit(fail_first, Tally(tmp_path / "tally"), 1)
    assert isinstance(future.exception(), Mishap)
    future.retry()
    eventually(lambda: future.status == "finished")
    assert future.result() == 1


def test_the_client_retries_many(client: Any, tmp_path: Path) -> None:
    futures = [client.submit(fail_first, Tally(tmp_path / str(n)), 1) for n in range(3)]
    assert all(future.exception() for future in futures)
    client.retry(futures)
    eventually(lambda: all(future.status == "finished" for future in futures))
    assert client.gather(futures) == [1, 1, 1]


def test_retrying_a_task_retries_what_it_failed_of(client: Any, tmp_path: Path) -> None:
    first = client.submit(fail_first, Tally(tmp_path / "tally"), 1)
    second = client.submit(inc, first)
    assert isinstance(second.exception(), Mishap)
    second.retry()
    eventually(lambda: second.status == "finished")
    assert second.result() == 2


@pytest.mark.differs("sys.exit in a task")
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_what_would_end_a_process_is_an_error_of_the_task(client: Any, error: BaseException) -> None:
    future = client.submit(_throw, error)
    assert type(error).__name__ in str(future.exception(timeout=20))
    assert client.gather(client.map(inc, range(4), pure=False)) == [1, 2, 3, 4]


def _throw(error: BaseException) -> None:
    raise error


def test_an_error_does_not_disturb_others(client: Any, gate: Gate) -> None:
    futures = client.map(_fail_if_odd, range(20))
    assert client.gather(futures, errors="skip") == list(range(0, 20, 2))


def _fail_if_odd(x: int) -> int:
    if x % 2:
        raise Mishap(str(x))
    return x


class Unusual(BaseException):
    """No Exception."""


def raise_unusual() -> None:
    raise Unusual("at the end")


@pytest.mark.differs("other exceptions")
def test_what_is_no_exception_makes_the_future_err_too(client: Any) -> None:
    future = client.submit(raise_unusual, pure=False)
    with pytest.raises(Exception, match="Unusual: at the end"):
        future.result()
    assert future.status == "error"
    assert client.submit(inc, 1).result() == 2
