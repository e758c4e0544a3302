"""Questions and answers, matched by number."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from nbcluster import errors
from nbcluster.protocol.calls import Calls, named_error
from nbcluster.protocol.messages import Answered, CallFailed


def with_calls(test: Callable[[Calls], Awaitable[None]]) -> Callable[[], None]:
    def wrapper() -> None:
        async def main() -> None:
            await test(Calls())

        asyncio.run(main())

    wrapper.__name__ = test.__name__
    return wrapper


@with_calls
async def test_answers_find_their_questions_in_any_order(calls: Calls) -> None:
    (one, first), (two, second) = calls.open(), calls.open()
    calls.answer(two, "second")
    calls.answered(Answered(one, None))
    assert await second == "second"
    assert await first is None


@with_calls
async def test_a_failure_is_raised_by_its_name(calls: Calls) -> None:
    number, future = calls.open()
    calls.failed(CallFailed(number, "ValueError", "n=-1"))
    with pytest.raises(ValueError, match="n=-1"):
        await future


@with_calls
async def test_an_answer_that_nobody_waits_for_is_dropped(calls: Calls) -> None:
    number, future = calls.open()
    future.cancel()
    calls.answer(number, 1)
    calls.answer(number, 2)
    calls.fail(99, ValueError())


@with_calls
async def test_at_the_end_all_that_is_open_fails_and_nobody_has_to_look(calls: Calls) -> None:
    (_, first), (_, second) = calls.open(), calls.open()
    calls.end(errors.ClosedClientError("it is over"))
    with pytest.raises(errors.ClosedClientError, match="it is over"):
        await first
    assert second.done()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ValueError", ValueError),
        ("TimeoutError", errors.TimeoutError),
        ("ClusterClosedError", errors.ClusterClosedError),
        ("KilledWorker", errors.ClusterError),
        ("KeyboardInterrupt", errors.ClusterError),
        ("annotations", errors.ClusterError),
        ("nonsense", errors.ClusterError),
    ],
)
def test_names_are_those_of_exceptions_that_take_a_text_and_of_no_others(kind: str, expected: type) -> None:
    error = named_error(kind, "what happened")
    assert type(error) is expected
    assert "what happened" in str(error)
