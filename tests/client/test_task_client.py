"""The client of a worker's tasks: what differs from a client of one's own."""

from __future__ import annotations

import pickle
from typing import Any

from nbcluster.client.future import Future
from nbcluster.client.states import FINISHED, FutureState
from nbcluster.protocol.serialize import dump_call


class Known:
    """Stands for a client: counts what is to be known."""

    def __init__(self) -> None:
        self.asked = 0

    def _make_known(self) -> None:
        self.asked += 1


def make_future(client: Known) -> tuple[Any, FutureState]:
    state = FutureState("x")
    return Future._of(state, client), state  # type: ignore[arg-type]


def test_a_future_that_leaves_a_task_is_known_to_the_scheduler_before_anybody_can_ask_for_it() -> None:
    """It leaves with the task's result, by another link than the one on which it was submitted."""
    client = Known()
    future, state = make_future(client)
    pickle.dumps({"result": [future]})
    assert client.asked == 1
    state.status = FINISHED  # then the scheduler has said so
    pickle.dumps(future)
    assert client.asked == 1


def test_a_future_that_is_passed_on_to_another_task_goes_by_the_same_link() -> None:
    client = Known()
    future, _ = make_future(client)
    call = dump_call(([future],), {})
    assert call.dependencies == ["x"]
    assert client.asked == 0
