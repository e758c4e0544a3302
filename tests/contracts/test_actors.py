"""Actors: objects that stay on a worker, called from the client, from tasks and from each other."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from tests.support.eventually import eventually


class Counter:
    n = 0

    def __init__(self, n: int = 0) -> None:
        self.n = n

    def increment(self, by: int = 1) -> int:
        self.n += by
        return self.n

    def append(self, history: list[int], item: int) -> list[int]:
        return [*history, item, self.n]

    def fail(self) -> None:
        raise ValueError("an actor's own fault")

    def pid(self) -> int:
        return os.getpid()

    async def later(self) -> int:
        await asyncio.sleep(0)
        return self.n

    def hold(self, other: Any) -> None:
        self.other = other

    def increment_other(self) -> int:
        return int(self.other.increment().result())


@pytest.fixture
def counter(client: Any) -> Any:
    return client.submit(Counter, actor=True).result()


def test_an_actor_stands_for_an_object_on_a_worker(api: Any, counter: Any) -> None:
    assert isinstance(counter, api.Actor)
    assert repr(counter) == f"<Actor: Counter, key={counter.key}>"
    assert "increment" in dir(counter)


def test_each_call_of_submit_and_map_makes_another_actor(api: Any, client: Any) -> None:
    made = [client.submit(Counter, 1, actors=True), client.submit(Counter, 1, actors=True)]
    made += client.map(Counter, [5, 5], actor=True)
    counters = client.gather(made)
    assert [type(counter) for counter in counters] == [api.Actor] * 4
    assert len({counter.key for counter in counters}) == 4
    assert [counter.increment().result() for counter in counters] == [2, 2, 6, 6]


def test_what_stands_for_the_same_actor_is_equal(client: Any) -> None:
    future = client.submit(Counter, actor=True)
    counter, again, other = future.result(), future.result(), client.submit(Counter, actor=True).result()
    assert counter == again
    assert counter != other
    assert counter != counter.key
    assert {counter: "mine"}[again] == "mine"
    assert len({counter, again, other}) == 2


def test_a_call_returns_a_future_and_the_state_stays(api: Any, counter: Any) -> None:
    future = counter.increment()
    assert isinstance(future, api.BaseActorFuture)
    assert isinstance(future, api.ActorFuture)
    assert repr(future) == "<ActorFuture>"
    assert future.result() == 1
    assert future.done()
    assert counter.increment(by=10).result(timeout=5) == 11


def test_the_type_of_its_future_is_its_class(api: Any, client: Any) -> None:
    future = client.submit(Counter, actor=True)
    api.wait(future)
    assert future.type is Counter


@pytest.mark.parametrize("separate_thread", [True, False])
def test_a_call_may_ask_for_a_thread_of_its_own_or_not(client: Any, counter: Any, separate_thread: bool) -> None:
    def use(counter: Any) -> int:
        return int(counter.increment(by=2, separate_thread=separate_thread).result())

    assert client.submit(use, counter).result() == 2
    assert counter.increment(separate_thread=separate_thread).result() == 3


def test_calls_of_one_caller_are_made_in_order(counter: Any) -> None:
    futures = [counter.increment() for _ in range(100)]
    assert [future.result() for future in futures] == list(range(1, 101))


def test_an_attribute_is_read_where_it_is(counter: Any) -> None:
    counter.increment().result()
    assert counter.n == 1


def test_what_is_no_attribute_raises(counter: Any) -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        counter.no_such_thing  # noqa: B018


def test_arguments_make_the_object(client: Any) -> None:
    counter = client.submit(Counter, n=5, actor=True).result()
    assert counter.increment().result() == 6


def test_each_call_makes_another_one(client: Any) -> None:
    first, second = (client.submit(Counter, actor=True) for _ in range(2))
    assert first.key != second.key
    first.result().increment().result()
    assert second.result().n == 0


def test_map_makes_many(client: Any) -> None:
    counters = client.gather(client.map(Counter, range(3), actors=True))
    assert [counter.increment().result() for counter in counters] == [1, 2, 3]


def test_what_a_method_raises_is_raised_by_result(counter: Any) -> None:
    with pytest.raises(ValueError, match="own fault"):
        counter.fail().result()
    assert counter.increment().result() == 1


def test_a_task_calls_an_actor_that_it_was_given(client: Any, counter: Any) -> None:
    def use(counter: Any) -> int:
        return int(counter.increment().result())

    assert sorted(client.gather(client.map(use, [counter] * 4, pure=False))) == [1, 2, 3, 4]
    assert counter.n == 4


def test_and_one_whose_future_it_was_given(client: Any) -> None:
    future = client.submit(Counter, actor=True)
    assert client.submit(lambda counter: counter.increment().result(), future).result() == 1


def test_a_coroutine_awaits_a_call(client: Any, counter: Any) -> None:
    async def use(counter: Any) -> int:
        return int(await counter.increment())

    assert client.submit(use, counter).result() == 1


def test_a_method_may_be_a_coroutine_function(counter: Any) -> None:
    counter.increment().result()
    assert counter.later().result() == 1


def test_an_actor_calls_another_on_the_same_worker(client: Any) -> None:
    first, second = client.gather([client.submit(Counter, actor=True, workers=[0]) for _ in range(2)])
    first.hold(second).result()
    assert first.increment_other().result() == 1
    assert second.n == 1


def test_and_one_on_another_worker(client: Any) -> None:
    first, second = client.gather([client.submit(Counter, actor=True, workers=[w]) for w in (0, 1)])
    first.hold(second).result()
    assert first.increment_other().result() == 1


def test_an_actor_goes_where_it_is_told_to(api: Any, client: Any) -> None:
    class Where:
        def name(self) -> str:
            return str(api.get_worker().name)

    assert client.submit(Where, actor=True, workers=[1]).result().name().result() == "1"


@pytest.mark.differs("bad input")
def test_actor_is_true_or_false(client: Any) -> None:
    with pytest.raises(TypeError, match="actor='yes' is neither True nor False"):
        client.submit(Counter, actor="yes")


@pytest.mark.differs("lost actors")
def test_an_actor_dies_with_its_worker_and_each_later_call_says_so(api: Any, keywords: Any) -> None:
    with api.LocalCluster(**keywords(processes=True)) as cluster, api.Client(cluster) as client:
        future = client.submit(Counter, actor=True)
        counter = future.result()
        os.kill(counter.pid().result(), signal.SIGKILL)
        eventually(lambda: future.status == "error", "word of the actor's death")
        assert "gone" in str(future.exception())
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"The actor Counter-.* is gone with the state that it had"):
                counter.increment().result(10)
        future.retry()
        assert future.result().increment().result() == 1


def test_with_an_asynchronous_client_calls_are_awaited(api: Any, keywords: Any) -> None:
    async def main() -> None:
        cluster = api.LocalCluster(asynchronous=True, **keywords())
        async with cluster, api.Client(cluster, asynchronous=True) as client:
            counter = await client.submit(Counter, actor=True)
            assert await counter.increment() == 1
            assert await counter.increment(2) == 3

    asyncio.run(main())


@pytest.mark.differs("asynchronous calls")
def test_an_attribute_is_awaited_whichever_client_is_the_default(api: Any, keywords: Any) -> None:
    async def main() -> None:
        cluster = api.LocalCluster(asynchronous=True, **keywords())
        async with cluster, api.Client(cluster, asynchronous=True) as client:
            counter = await client.submit(Counter, 5, actor=True)
            assert await counter.n == 5
            assert hasattr(counter, "n")

    asyncio.run(main())
