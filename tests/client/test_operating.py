"""What a client asks of its cluster's operators, and what it makes of the answers; nobody is asked here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from nbcluster.client.operating import RESTART_TIMEOUT, OperatingClient
from nbcluster.errors import TimeoutError
from nbcluster.protocol import operating as o


class FakeClient(OperatingClient):
    """Notes what it is asked for, and answers what it was told to."""

    def __init__(self, **answer: str) -> None:
        self.asked: list[Any] = []

        async def operate(make: Callable[[int], Any]) -> dict[str, str]:
            self.asked.append(make(7))
            return answer

        async def wait(states: list[Any]) -> None:
            assert not states

        self._session: Any = SimpleNamespace(operate=operate, wait=wait)

    def _sync(
        self,
        function: Callable[..., Coroutine[Any, Any, Any]],
        *args: Any,
        then: Callable[[Any], Any] | None = None,
        **options: Any,
    ) -> Any:
        result = asyncio.run(function(*args))
        return result if then is None else then(result)


def test_a_restart_has_two_minutes_unless_it_is_told_otherwise() -> None:
    client = FakeClient()
    assert client.restart() is None
    assert client.restart(timeout="5 s", wait_for_workers=False) is None
    assert client.asked == [o.RestartCluster(7, RESTART_TIMEOUT, True), o.RestartCluster(7, 5.0, False)]


def test_workers_that_restart_are_answered_for_as_they_were_named() -> None:
    client = FakeClient(**{"0": "OK", "tcp://there": "OK"})
    named: list[Any] = [0, "tcp://there"]
    assert client.restart_workers(named) == {0: "OK", "tcp://there": "OK"}
    assert client.asked == [o.RestartWorkers(7, ["0", "tcp://there"], RESTART_TIMEOUT)]


def test_workers_that_are_late_are_named_or_told() -> None:
    client = FakeClient(ada="OK", bob="timed out")
    with pytest.raises(TimeoutError, match=r"1 workers were not back within 2\.5 s: bob"):
        client.restart_workers(["ada", "bob"], timeout=2.5)
    told = client.restart_workers(["ada", "bob"], timeout=2.5, raise_for_error=False)
    assert told == {"ada": "OK", "bob": "timed out"}


def test_what_makes_no_sense_asks_for_nothing() -> None:
    client = FakeClient()
    wrong: list[Callable[[], Any]] = [
        lambda: client.restart(timeout=-1),
        lambda: client.restart_workers(None),  # type: ignore[arg-type]
        lambda: client.retire_workers(n=-1),
        lambda: client.retire_workers(minimum=True),
        lambda: client.replicate([], n=0),
        lambda: client.rebalance(workers=5.5),  # type: ignore[arg-type]
    ]
    for call in wrong:
        with pytest.raises((TypeError, ValueError)):
            call()
    assert client.asked == []


def test_results_of_all_workers_are_moved_unless_some_are_named() -> None:
    client = FakeClient()
    client.rebalance()
    some: list[Any] = ["ada", 1]
    client.rebalance([], workers=some)
    assert client.asked == [o.Rebalance(7, None, None), o.Rebalance(7, [], ["ada", "1"])]


def test_the_active_memory_manager_is_started_stopped_and_asked() -> None:
    client = FakeClient(running="yes")
    assert client.amm.running() is True
    assert client.amm.stop() is None
    assert client.amm.start() is None
    assert client.amm.run_once() is None
    assert [asked.action for asked in client.asked] == ["running", "stop", "start", "run_once"]
    assert FakeClient(running="no").amm.running() is False
