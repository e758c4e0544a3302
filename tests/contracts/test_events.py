from __future__ import annotations

import importlib
import queue
import threading
import time
from typing import Any

import pytest

from tests.support.eventually import eventually


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Any:
    return request.node.nodeid


def test_events_are_kept_by_topic_in_order(client: Any, name: str) -> None:
    before = time.time()
    for message in (1, "two", {"three": 3}):
        client.log_event(name, message)
    events = client.get_events(name)
    assert [message for _, message in events] == [1, "two", {"three": 3}]
    assert all(before - 5 < when < time.time() + 5 for when, _ in events)
    assert client.get_events()[name] == events


def test_an_event_may_have_several_topics(client: Any, name: str) -> None:
    client.log_event([f"{name} a", f"{name} b"], "both")
    assert [message for _, message in client.get_events(f"{name} a")] == ["both"]
    assert [message for _, message in client.get_events(f"{name} b")] == ["both"]


def test_a_topic_that_nobody_knows_has_no_events(client: Any, name: str) -> None:
    assert len(client.get_events(name)) == 0


def test_a_handler_hears_what_is_logged_from_now_on(client: Any, name: str) -> None:
    heard: queue.Queue[Any] = queue.Queue()
    client.log_event(name, "before")
    client.subscribe_topic(name, heard.put)
    when, message = log_until_heard(client, name, "after", heard)
    assert message == "after"
    assert isinstance(when, float)
    client.unsubscribe_topic(name)


def log_until_heard(client: Any, topic: str, message: Any, heard: queue.Queue[Any]) -> Any:
    """The peer does not say when a subscription has come into force."""
    eventually(lambda: client.log_event(topic, message) or not heard.empty())
    return heard.get()


@pytest.mark.differs("subscribed at once")
def test_a_subscription_is_in_force_at_once_and_so_is_its_end(client: Any, name: str) -> None:
    heard: queue.Queue[Any] = queue.Queue()
    client.subscribe_topic(name, heard.put)
    client.log_event(name, "after")
    client.unsubscribe_topic(name)
    client.log_event(name, "too late")
    client.subscribe_topic(name, heard.put)
    client.log_event(name, "last")
    assert heard.get(timeout=20)[1] in ("after", "last")
    assert "too late" not in [event[1] for event in list(heard.queue)]
    client.unsubscribe_topic(name)


def test_a_handler_may_be_a_coroutine_function(client: Any, name: str) -> None:
    heard: queue.Queue[Any] = queue.Queue()

    async def handler(event: Any) -> None:
        heard.put(event)

    client.subscribe_topic(name, handler)
    assert log_until_heard(client, name, 1, heard)[1] == 1
    client.unsubscribe_topic(name)


def log_from_task(package: Any, topic: str) -> None:
    importlib.import_module(package).get_worker().log_event(topic, "from a task")


def test_tasks_log_events(api: Any, client: Any, name: str) -> None:
    client.submit(log_from_task, api.__name__, name).result()
    assert eventually(lambda: [message for _, message in client.get_events(name)]) == ["from a task"]


def test_clients_hear_each_other(api: Any, client: Any, cluster: Any, name: str) -> None:
    heard: queue.Queue[Any] = queue.Queue()
    client.subscribe_topic(name, heard.put)
    with api.Client(cluster, set_as_default=False) as other:
        assert log_until_heard(other, name, "hello", heard)[1] == "hello"
    client.unsubscribe_topic(name)


def test_only_a_topic_with_a_handler_can_be_unsubscribed(client: Any, name: str) -> None:
    with pytest.raises(ValueError, match="No event handler known for topic"):
        client.unsubscribe_topic(name)


def test_the_cluster_logs_workers_that_join(client: Any) -> None:
    joined = {event["worker"] for _, event in client.get_events("all") if event["action"] == "add-worker"}
    workers = set(client.scheduler_info()["workers"])
    assert workers <= joined
    for address in workers:
        assert "add-worker" in [event["action"] for _, event in client.get_events(address)]


@pytest.mark.differs("events go on")
def test_a_handler_that_fails_is_logged_and_called_again(
    client: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    heard: queue.Queue[Any] = queue.Queue()

    def handler(event: Any) -> None:
        if event[1] == 1:
            raise ValueError("not this one")
        heard.put(event[1])

    client.subscribe_topic(name, handler)
    client.log_event(name, 1)
    client.log_event(name, {2})
    assert heard.get(timeout=20) == {2}
    assert "not this one" in caplog.text
    client.unsubscribe_topic(name)


@pytest.mark.differs("bad input")
def test_bad_arguments_are_named(client: Any, name: str) -> None:
    with pytest.raises(TypeError, match="topic=5"):
        client.log_event(5, 1)
    with pytest.raises(TypeError, match="topic=''"):
        client.get_events("")
    with pytest.raises(TypeError, match="handler=1"):
        client.subscribe_topic(name, 1)
    with pytest.raises(TypeError, match="cannot pickle"):
        client.log_event(name, threading.Lock())


def event_from_a_task(package: str) -> str:
    worker = importlib.import_module(package).get_worker()
    worker.log_event("from-a-task", {"step": 1})
    return str(worker.address)


def test_an_event_of_a_worker_tells_which(api: Any, client: Any) -> None:
    address = client.submit(event_from_a_task, api.__name__, pure=False).result()
    eventually(lambda: client.get_events("from-a-task"), "the event")
    assert client.get_events("from-a-task")[-1][1] == {"step": 1, "worker": address}
