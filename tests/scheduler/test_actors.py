from __future__ import annotations

from typing import Any

import pytest

from nbcluster.errors import ActorLostError
from nbcluster.protocol import messages as m
from nbcluster.scheduler.events import RetireWorkers
from tests.support.scheduler_bench import Bench


@pytest.fixture
def bench() -> Bench:
    """An actor on worker 0, and a worker 1."""
    bench = Bench()
    bench.join(0)
    bench.submit("Counter-0", actor=True)
    bench.finish(0, "Counter-0")
    bench.join(1)
    return bench


def test_the_scheduler_keeps_no_copy_of_what_an_actor_is(bench: Bench) -> None:
    assert bench.task("Counter-0").payload is None
    assert bench.computes(0)[0].actor


def test_an_actor_errs_with_its_worker_and_is_not_made_again(bench: Bench) -> None:
    bench.leave(0)
    [erred] = bench.heard("ada", m.KeyErred)
    assert erred.error == m.Lost("fake://0", True)
    assert bench.assigned(1) == []
    bench.ask(m.RetryKeys(["Counter-0"]))
    assert bench.assigned(1) == ["Counter-0"]


def test_a_copy_of_what_stands_for_it_is_no_replica(bench: Bench) -> None:
    bench.report(1, m.DataAdded([m.StoredData("Counter-0", 1)]))
    assert list(bench.task("Counter-0").who_has) == [bench.worker(0)]
    assert [message.keys for message in bench.heard(1, m.FreeKeys)] == [["Counter-0"]]


def test_a_retiring_worker_stays_as_long_as_its_actor_is_wanted(bench: Bench) -> None:
    bench.handle(RetireWorkers([0]))
    assert bench.said[None] == []
    assert bench.heard(1, m.AcquireReplicas) == []
    bench.release("Counter-0")
    assert [retired.name for retired in bench.said[None]] == [0]


def test_the_error_says_what_was_lost() -> None:
    from nbcluster.client.states import FutureState

    state = FutureState("Counter-0")
    state.fail(m.Lost("fake://0", True), "Counter-0")
    error: Any = state.exception()
    assert isinstance(error, ActorLostError)
    assert isinstance(error, RuntimeError)
    assert error.key == "Counter-0"
    assert "fake://0 has ended" in str(error)
