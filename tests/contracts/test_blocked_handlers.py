"""``blocked_handlers=``: each name closes every way in which a client can reach the handler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contracts.gates import inc

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
