from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from nbcluster.client import defaults
from nbcluster.client.connected import ConnectedClient


class FakeClient(ConnectedClient):
    """As much of a client as is asked for here."""

    status: Any = "running"

    def __init__(self) -> None:
        self.asynchronous = True


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Three clients, the last one the newest default."""
    monkeypatch.setattr(defaults, "_stack", [])
    made: list[Any] = [FakeClient() for _ in range(3)]
    for number in range(3):
        defaults.push(made[number])
    return made


def test_the_newest_is_the_default(clients: list[Any]) -> None:
    assert defaults.current() is clients[2]


def test_without_it_the_one_before_is(clients: list[Any]) -> None:
    defaults.remove(clients[2])
    assert defaults.current() is clients[1]
    defaults.remove(clients[0])
    assert defaults.current() is clients[1]
    for client in clients:
        defaults.remove(client)
    assert defaults.current() is None


def test_one_that_is_not_running_is_passed_over(clients: list[Any]) -> None:
    clients[2].status = "closed"
    assert defaults.current() is clients[1]


def test_one_that_nobody_holds_is_passed_over(clients: list[Any]) -> None:
    clients.pop()
    gc.collect()
    assert defaults.current() is clients[1]


def test_the_context_comes_first(clients: list[Any]) -> None:
    with defaults.as_current(clients[0]) as client:
        assert client is clients[0]
        assert defaults.current() is clients[0]
        with defaults.as_current(clients[1]):
            assert defaults.current() is clients[1]
        assert defaults.current() is clients[0]
    assert defaults.current() is clients[2]


def test_a_closed_client_of_the_context_is_passed_over(clients: list[Any]) -> None:
    with defaults.as_current(clients[0]):
        clients[0].status = "closed"
        assert defaults.current() is clients[2]


def test_the_context_is_this_threads_only(clients: list[Any]) -> None:
    seen: list[Any] = []
    with defaults.as_current(clients[0]):
        thread = threading.Thread(target=lambda: seen.append(defaults.current()))
        thread.start()
        thread.join()
    assert seen == [clients[2]]


def test_the_context_is_this_tasks_only(clients: list[Any]) -> None:
    async def main() -> None:
        entered, seen = asyncio.Event(), asyncio.Event()

        async def inside() -> None:
            with defaults.as_current(clients[0]):
                entered.set()
                await seen.wait()
                assert defaults.current() is clients[0]

        async def outside() -> None:
            await entered.wait()
            assert defaults.current() is clients[2]
            seen.set()

        await asyncio.gather(inside(), outside())

    asyncio.run(main())


def test_only_the_context_may_count(clients: list[Any]) -> None:
    assert defaults.current(allow_global=False) is None
    with defaults.as_current(clients[1]):
        assert defaults.current(allow_global=False) is clients[1]


def test_the_one_that_is_given_is_meant(clients: list[Any]) -> None:
    assert defaults.default_client(clients[0]) is clients[0]
    assert defaults.default_client() is clients[2]
    with pytest.raises(TypeError, match="c=5 is not a Client"):
        defaults.default_client(5)  # type: ignore[arg-type]


def test_none_at_all_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "_stack", [])
    with pytest.raises(ValueError, match=r"No clients found. Start a client first: client = Client\(\)"):
        defaults.default_client()
