"""Calls of a worker's actors, and what becomes of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from nbcluster.errors import RemoteError
from nbcluster.protocol.actors import ActorAnswered, CallActor, ReadActor
from nbcluster.protocol.exceptions import load_exception
from nbcluster.protocol.serialize import dump, load
from nbcluster.worker import context
from nbcluster.worker.actors import ActorHost
from nbcluster.worker.coroutines import CoroutineLoop
from tests.support.eventually import soon
from tests.support.fake_connection import FakeConnection
from tests.support.links import DEADLINE


class Counter:
    """An actor."""

    def __init__(self) -> None:
        self.n = 0
        self.gate = asyncio.Event()

    def add(self, n: int = 1) -> int:
        self.n += n
        return self.n

    def where(self) -> tuple[str, str | None, bool]:
        return threading.current_thread().name, context.current_key(), context.hosts_actors()

    async def wait(self) -> str:
        await self.gate.wait()
        return "went on"

    async def go_on(self) -> None:
        self.gate.set()

    def leave(self) -> None:
        raise SystemExit(3)

    def refuse(self) -> None:
        raise ValueError("no")

    def lock(self) -> Any:
        return threading.Lock()


class FakeWorker:
    def __init__(self) -> None:
        self.actors = {"counter": Counter()}

    def actor(self, key: str) -> Any:
        return self.actors.get(key)


class Bench:
    """A host, and a link to it."""

    def __init__(self) -> None:
        self.coroutines = CoroutineLoop()
        self.ends: list[str | None] = []
        self.host = ActorHost(
            cast("Any", FakeWorker()), self.coroutines, lambda: self.ends.append(context.current_key())
        )
        self.link = FakeConnection()
        self.numbers = 0

    def call(self, method: str, *args: Any, key: str = "counter") -> int:
        self.numbers += 1
        self.host.answer(self.link, CallActor(self.numbers, key, method, dump((args, {}), "arguments")))
        return self.numbers

    def read(self, name: str) -> int:
        self.numbers += 1
        self.host.answer(self.link, ReadActor(self.numbers, "counter", name))
        return self.numbers

    async def answer(self, number: int) -> ActorAnswered:
        """The answer to a request."""

        def found() -> list[ActorAnswered]:
            return [message for message in self.link.said(ActorAnswered) if message.request == number]

        return (await soon(found))[0]

    async def result(self, number: int) -> Any:
        answer = await self.answer(number)
        if answer.error is not None:
            raise load_exception(answer.error)
        assert answer.result is not None
        return load(answer.result)


def with_bench(test: Callable[[Bench], Awaitable[None]]) -> Callable[[], None]:
    def wrapper() -> None:
        async def main() -> None:
            bench = Bench()
            try:
                await test(bench)
            finally:
                bench.host.close()
                bench.coroutines.close()

        asyncio.run(asyncio.wait_for(main(), DEADLINE))

    wrapper.__name__ = test.__name__
    return wrapper


@with_bench
async def test_calls_are_carried_out_one_after_the_other(bench: Bench) -> None:
    numbers = [bench.call("add", n) for n in range(1, 5)]
    assert [await bench.result(number) for number in numbers] == [1, 3, 6, 10]
    assert await bench.result(bench.read("n")) == 10


@with_bench
async def test_they_run_in_the_thread_of_actors_as_part_of_the_task_that_made_it(bench: Bench) -> None:
    name, key, hosts = await bench.result(bench.call("where"))
    assert name.startswith("nbcluster-actors")
    assert (key, hosts) == ("counter", True)
    assert bench.ends == ["counter"]


@with_bench
async def test_coroutine_functions_wait_side_by_side(bench: Bench) -> None:
    waiting = bench.call("wait")
    bench.call("go_on")
    assert await bench.result(waiting) == "went on"


@with_bench
async def test_what_a_method_raises_is_raised_by_the_call(bench: Bench) -> None:
    with pytest.raises(ValueError, match="no"):
        await bench.result(bench.call("refuse"))
    with pytest.raises(AttributeError, match="subtract"):
        await bench.result(bench.call("subtract"))
    with pytest.raises(AttributeError, match="m"):
        await bench.result(bench.read("m"))


@with_bench
async def test_whatever_would_end_the_caller_is_a_stand_in_and_the_thread_lives(bench: Bench) -> None:
    with pytest.raises(RemoteError, match="3"):
        await bench.result(bench.call("leave"))
    assert await bench.result(bench.call("add")) == 1


@with_bench
async def test_a_result_that_cannot_be_pickled_is_an_error_of_the_call(bench: Bench) -> None:
    with pytest.raises(Exception, match="lock"):
        await bench.result(bench.call("lock"))


@with_bench
async def test_an_actor_that_is_not_there_is_neither_a_result_nor_an_error(bench: Bench) -> None:
    assert await bench.answer(bench.call("add", key="gone")) == ActorAnswered(1)


@with_bench
async def test_an_answer_to_somebody_who_is_gone_is_dropped(bench: Bench) -> None:
    bench.link.abort()
    bench.call("add")
    await soon(lambda: bench.ends)
    await asyncio.sleep(0)
    assert bench.link.sent == []
