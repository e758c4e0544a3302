"""What comes back from functions that ran beside the tasks, without a cluster."""

from __future__ import annotations

import pytest

from nbcluster.client.running import results
from nbcluster.errors import CommClosedError, SerializationError
from nbcluster.protocol.calling import raised, returned
from nbcluster.protocol.running import CallOutcome, WorkerGone


@pytest.fixture
def outcomes() -> dict[str, CallOutcome]:
    return {"a": returned({"value": 1}), "b": raised(ZeroDivisionError("by b")), "c": WorkerGone("killed by signal 9")}


def test_the_first_error_is_raised(outcomes: dict[str, CallOutcome]) -> None:
    with pytest.raises(ZeroDivisionError, match="by b"):
        results(outcomes, "raise")
    del outcomes["b"]
    with pytest.raises(CommClosedError, match="the worker c went before it answered: killed by signal 9"):
        results(outcomes, "raise")
    del outcomes["c"]
    assert results(outcomes, "raise") == {"a": {"value": 1}}


def test_errors_can_be_among_the_results(outcomes: dict[str, CallOutcome]) -> None:
    found = results(outcomes, "return")
    assert found["a"] == {"value": 1}
    assert isinstance(found["b"], ZeroDivisionError)
    assert isinstance(found["c"], CommClosedError)


def test_errors_can_be_left_out(outcomes: dict[str, CallOutcome]) -> None:
    assert results(outcomes, "ignore") == {"a": {"value": 1}}
    assert results({}, "raise") == {}


def test_what_cannot_be_pickled_is_an_error_of_its_call() -> None:
    with pytest.raises(SerializationError, match="generator"):
        results({"a": returned(n for n in range(3))}, "raise")
