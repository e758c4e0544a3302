"""``blocked_handlers=``: each name closes every way in which a client can reach the handler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import pytest

from tests.contracts.gates import inc
from tests.support.eventually import eventually

REFUSED = "handler has been explicitly disallowed in Scheduler, possibly due to security concerns"


@pytest.fixture(scope="module")
def closed(api: Any, keywords: Callable[..., dict[str, Any]]) -> Iterator[Any]:
    """A client of a cluster that refuses all that the tests ask."""
    names = ["feed", "run_function", "scatter", "restart"]
    made = api.LocalCluster(**keywords(n_workers=1, blocked_handlers=names))
    with made as cluster, api.Client(cluster, set_as_default=False) as client:
        yield client


def test_tasks_run_all_the_same(closed: Any) -> None:
    assert closed.gather(closed.map(inc, range(3))) == [1, 2, 3]
    assert len(closed.scheduler_info()["workers"]) == 1


def test_data_is_not_taken(api: Any, closed: Any) -> None:
    with pytest.raises((ValueError, api.CancelledError), match=REFUSED):
        closed.gather(closed.scatter([1, 2]))
    assert closed.submit(inc, 1).result() == 2


COORDINATION = {
    "semaphore_acquire": lambda api, client: api.Semaphore(1, "x").acquire(),
    "semaphore_value": lambda api, client: api.Semaphore(1, "x").get_value(),
    "event_set": lambda api, client: api.Event("x", client).set(),
    "event_is_set": lambda api, client: api.Event("x", client).is_set(),
    "multi_lock_acquire": lambda api, client: api.MultiLock(["x"], client).acquire(),
    "queue_put": lambda api, client: api.Queue("x", client).put(1),
    "queue_qsize": lambda api, client: api.Queue("x", client).qsize(),
    "variable_get": lambda api, client: api.Variable("x", client).get(timeout=0),
    "publish_put": lambda api, client: client.publish_dataset(1, name="x"),
    "publish_list": lambda api, client: client.list_datasets(),
    "set_metadata": lambda api, client: client.set_metadata("x", 1),
    "events": lambda api, client: client.get_events("x"),
}
LOOKING_IN = {
    "who_has": lambda api, client: client.who_has(),
    "has_what": lambda api, client: client.has_what(),
    "processing": lambda api, client: client.processing(),
    "nbytes": lambda api, client: client.nbytes(),
    "call_stack": lambda api, client: client.call_stack(keys=["x"]),
    "profile": lambda api, client: client.profile(),
    "get_task_stream": lambda api, client: client.get_task_stream(),
}


@pytest.fixture(scope="module")
def bare(api: Any, keywords: Callable[..., dict[str, Any]]) -> Iterator[Any]:
    """A client of a cluster that coordinates nothing and tells nothing."""
    names = [*COORDINATION, *LOOKING_IN]
    made = api.LocalCluster(**keywords(n_workers=1, blocked_handlers=names))
    with made as cluster, api.Client(cluster) as client:
        yield client


@pytest.mark.parametrize("name", COORDINATION)
def test_each_handler_of_coordination_can_be_closed(api: Any, bare: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' {REFUSED}"):
        COORDINATION[name](api, bare)


@pytest.mark.parametrize("name", LOOKING_IN)
def test_so_can_each_that_tells_what_goes_on(api: Any, bare: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' {REFUSED}"):
        LOOKING_IN[name](api, bare)


def test_what_is_not_named_stays_open(api: Any, bare: Any) -> None:
    assert bare.submit(inc, 1).result() == 2
    event = api.Event("open", bare)
    assert event.wait(timeout=0.01) is False
    event.clear()


@pytest.mark.differs("bad input")
@pytest.mark.parametrize(("names", "error"), [(["no_such"], ValueError), ("feed", TypeError)], ids=repr)
def test_an_unknown_name_is_refused_with_those_that_there_are(
    api: Any, keywords: Callable[..., dict[str, Any]], names: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"feed, .*run_function"):
        api.LocalCluster(**keywords(blocked_handlers=names))


@pytest.mark.differs("blocked handlers")
def test_a_client_that_is_sent_nothing_unasked_can_still_ask(closed: Any) -> None:
    """Here `feed` also closes the views that a cluster pushes to its clients."""
    assert len(closed.scheduler_info()["workers"]) == 1
    assert "processes=1 threads=1" in repr(closed)


@pytest.mark.differs("blocked handlers")
def test_a_client_cannot_end_a_cluster_that_says_so_but_its_object_can(
    api: Any, keywords: Callable[..., dict[str, Any]]
) -> None:
    cluster = api.LocalCluster(**keywords(n_workers=0, protocol="tcp", blocked_handlers=["terminate"]))
    with cluster, api.Client(cluster.scheduler_address, set_as_default=False) as client:
        with pytest.raises(ValueError, match=f"'terminate' {REFUSED}"):
            client.shutdown()
        assert cluster.status == "running"
    assert cluster.status == "closed"


@pytest.mark.differs("blocked handlers")
def test_functions_outside_of_tasks_are_refused_whichever_way_they_come(api: Any, closed: Any) -> None:
    class Plugin(api.WorkerPlugin):  # type: ignore[misc]
        pass

    for ask in (
        lambda: closed.run(int),
        lambda: closed.run_on_scheduler(int),
        lambda: closed.register_plugin(Plugin()),
        lambda: closed.register_plugin(api.SchedulerPlugin()),
        closed.restart,
    ):
        with pytest.raises(ValueError, match=REFUSED):
            ask()
    assert closed.submit(inc, 1).result() == 2


def test_a_cluster_that_feeds_nobody_tells_of_topics_all_the_same(closed: Any) -> None:
    heard: list[Any] = []
    closed.subscribe_topic("topic", heard.append)
    eventually(lambda: closed.log_event("topic", "news") or heard, "the news")
    closed.unsubscribe_topic("topic")
    assert heard[0][1] == "news"


@pytest.mark.differs("blocked handlers")
def test_a_timeout_that_may_not_ask_why_is_a_timeout_all_the_same(
    api: Any, keywords: Callable[..., dict[str, Any]]
) -> None:
    blocked = keywords(n_workers=1, blocked_handlers=["explain"])
    with api.LocalCluster(**blocked) as cluster, api.Client(cluster) as client:
        future = client.submit(inc, 1, resources={"none": 1})
        with pytest.raises(api.TimeoutError, match=r"inc-\w+"):
            future.result(timeout=0.01)
        with pytest.raises(ValueError, match=f"'explain' {REFUSED}"):
            client.explain(future)


class Trap:
    """Opening its file is what unpickling it does."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


@pytest.mark.differs("blocked handlers")
def test_what_clients_made_up_is_not_unpickled_for_plugins_of_the_scheduler(api: Any, own: Any, tmp_path: Path) -> None:
    seen = tmp_path / "seen"

    def note(what: Any) -> None:
        with seen.open("a") as file:
            print(what, file=file)

    class Curious(api.SchedulerPlugin):  # type: ignore[misc]
        def log_event(self, topic: str, msg: Any) -> None:
            note(msg)

        def update_graph(self, scheduler: Any, *, keys: Any, annotations: Any, **kwargs: Any) -> None:
            note([annotations, *(scheduler.tasks[key].annotations for key in keys)])

    traps = [Trap(str(tmp_path / name)) for name in ("annotation", "of a graph", "event")]
    cluster = own(blocked_handlers=["run_function"], scheduler_kwargs={"plugins": [Curious()]})
    with api.Client(cluster, set_as_default=False) as client:
        with dask.annotate(team=traps[0]):
            assert client.submit(inc, 1).result() == 2
        with dask.annotate(team=traps[1]):
            assert client.get({"x": (inc, 2)}, "x") == 3
        client.log_event("topic", traps[2])
        assert client.submit(inc, 2, pure=False).result() == 3  # what came before has been dealt with
    assert seen.read_text() == "[{}, {}]\n" * 3
    assert list(tmp_path.iterdir()) == [seen]
