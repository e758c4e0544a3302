from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest

from tests.contracts.gates import Mishap, fail_with, inc


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Any:
    return request.node.nodeid


def test_items_come_out_in_the_order_in_which_they_went_in(api: Any, client: Any, name: str) -> None:
    queue = api.Queue(name)
    for item in (1, "two", [3], {"four": 4}):
        queue.put(item)
    assert queue.qsize() == 4
    assert [queue.get() for _ in range(4)] == [1, "two", [3], {"four": 4}]
    assert queue.qsize() == 0


def test_the_same_name_is_the_same_queue(api: Any, client: Any, name: str) -> None:
    api.Queue(name).put(1)
    assert api.Queue(name).get(timeout=10) == 1
    assert api.Queue().name != api.Queue().name


def test_a_future_keeps_its_result_while_it_is_in_a_queue(api: Any, client: Any, name: str) -> None:
    queue = api.Queue(name)
    future = client.submit(inc, 1, pure=False)
    queue.put(future)
    key = future.key
    del future
    back = queue.get()
    assert back.key == key
    assert back.result() == 2


def test_a_future_that_erred_comes_out_of_a_queue_as_such(api: Any, client: Any, name: str) -> None:
    queue = api.Queue(name)
    future = client.submit(fail_with, name)
    queue.put(future)
    api.wait(future)
    del future
    with pytest.raises(Mishap):
        queue.get().result()


def test_who_waits_too_long_gets_an_error(api: Any, client: Any, name: str) -> None:
    queue = api.Queue(name)
    with pytest.raises(api.TimeoutError):
        queue.get(timeout=0.01)
    with pytest.raises(api.TimeoutError):
        queue.get(timeout="10 ms")
    queue.put(1)
    assert queue.get(timeout=10) == 1


def test_a_full_queue_makes_wait(api: Any, client: Any, name: str) -> None:
    queue = api.Queue(name, maxsize=1)
    queue.put(1)
    with pytest.raises(api.TimeoutError):
        queue.put(2, timeout=0.01)
    assert queue.qsize() == 1
    assert queue.get() == 1
    queue.put(3, timeout=10)
    assert queue.get() == 3


def test_a_batch_is_all_there_is(api: Any, client: Any, name: str) -> None:
    queue = api.Queue(name)
    assert queue.get(batch=True) == []
    for item in range(4):
        queue.put(item)
    assert queue.get(batch=2) == [0, 1]
    assert queue.get(batch=True) == [2, 3]


def produce(queue: Any, count: int) -> None:
    for item in range(count):
        queue.put(item)


def consume(queue: Any, count: int) -> list[Any]:
    return [queue.get(timeout=20) for _ in range(count)]


def test_tasks_talk_through_a_queue(api: Any, client: Any, name: str) -> None:
    queue = api.Queue(name, maxsize=2)
    consumer = client.submit(consume, queue, 10)
    producer = client.submit(produce, queue, 10)
    assert consumer.result() == list(range(10))
    producer.result()


def test_a_queue_is_pickled_by_its_name(api: Any, client: Any, name: str) -> None:
    queue = api.Queue(name, maxsize=3)
    copy = pickle.loads(pickle.dumps(queue))
    assert (copy.name, copy.maxsize) == (name, 3)
    queue.put(1)
    assert copy.get(timeout=10) == 1


def test_a_queue_that_others_have_open_survives_close(api: Any, client: Any, name: str) -> None:
    queue, other = api.Queue(name), api.Queue(name)
    queue.put(1)
    queue.close()
    assert other.get(timeout=10) == 1


@pytest.mark.differs("queues take anything")
def test_anything_that_can_be_pickled_goes_through_a_queue(api: Any, client: Any, name: str) -> None:
    queue = api.Queue(name)
    future = client.submit(inc, 1, pure=False)
    queue.put({"parts": [future], "kind": complex(1, 2)})
    del future
    item = queue.get()
    assert item["kind"] == complex(1, 2)
    assert client.gather(item["parts"]) == [2]


@pytest.mark.differs("queues lose nothing")
def test_a_batch_that_does_not_come_in_time_leaves_the_queue_as_it_was(api: Any, client: Any, name: str) -> None:
    queue = api.Queue(name)
    queue.put(1)
    with pytest.raises(api.TimeoutError, match="less than 2 items"):
        queue.get(batch=2, timeout=0.01)
    queue.put(2)
    assert queue.get(batch=True) == [1, 2]


@pytest.mark.differs("queues lose nothing")
def test_what_was_not_put_in_time_is_not_in_the_queue(api: Any, client: Any, name: str) -> None:
    queue = api.Queue(name, maxsize=1)
    queue.put(1)
    with pytest.raises(api.TimeoutError, match=r"no room in <Queue: .* after 0.01 s"):
        queue.put(2, timeout=0.01)
    assert queue.get(batch=True) == [1]
    assert queue.get(batch=True) == []


@pytest.mark.differs("queues lose nothing")
def test_what_is_in_a_queue_outlives_who_put_it(api: Any, client: Any, cluster: Any, name: str) -> None:
    with api.Client(cluster, set_as_default=False) as other:
        queue = api.Queue(name, other)
        queue.put(other.submit(inc, 1, pure=False))
        queue.put("text")
    queue = api.Queue(name)
    assert queue.get(timeout=10).result() == 2
    assert queue.get(timeout=10) == "text"


@pytest.mark.differs("closed queues")
def test_a_queue_that_the_last_one_closes_is_emptied(api: Any, client: Any, name: str) -> None:
    queue = api.Queue(name)
    queue.put(client.submit(inc, 1))
    queue.close()
    queue.close()
    with pytest.raises(RuntimeError, match="was closed"):
        queue.put(1)
    assert api.Queue(name).qsize() == 0


@pytest.mark.differs("bad input")
def test_bad_arguments_are_named(api: Any, client: Any, cluster: Any, name: str) -> None:
    queue = api.Queue(name)
    with pytest.raises(ValueError, match="maxsize=-1"):
        api.Queue(maxsize=-1)
    with pytest.raises(TypeError, match="maxsize='many'"):
        api.Queue(maxsize="many")
    with pytest.raises(TypeError, match="batch='all'"):
        queue.get(batch="all")
    with pytest.raises(ValueError, match="batch=0"):
        queue.get(batch=0)
    with pytest.raises(TypeError, match="cannot pickle"):
        queue.put([threading.Lock()])
    future = client.submit(inc, 1, pure=False)
    future.cancel()
    with pytest.raises(ValueError, match="cancelled or released"):
        queue.put(future)
    with api.Client(cluster, set_as_default=False) as other:
        foreign = other.submit(inc, 1)
        with client.as_current(), pytest.raises(ValueError, match="another client"):
            queue.put([foreign])
    assert queue.qsize() == 0
