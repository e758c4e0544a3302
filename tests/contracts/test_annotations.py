"""What ``dask.annotate`` says where a call is made holds for the tasks of the call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import pytest
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from tests.contracts.gates import Tally, fail_first, inc


def workers_of(client: Any, futures: list[Any]) -> list[str]:
    client.gather(futures)
    return [worker for workers in client.who_has(futures).values() for worker in workers]


@pytest.fixture
def second(client: Any) -> str:
    """The worker that is to run everything: one of two."""
    return str(list(client.nthreads())[1])


def sums(*numbers: int) -> list[Any]:
    return [dask.delayed(inc)(number) for number in numbers]


GOT = [("got", n) for n in range(4)]
CALLS: dict[str, Callable[[Any, list[Any]], list[Any]]] = {
    "submit": lambda client, parts: [client.submit(inc, n, pure=False) for n in range(4)],
    "map": lambda client, parts: client.map(inc, range(4), pure=False),
    "compute": lambda client, parts: client.compute(parts),
    "persist": lambda client, parts: client.futures_of(client.persist(parts)),
    "get": lambda client, parts: client.get({("got", n): (inc, n) for n in range(4)}, GOT, sync=False),
}


@pytest.mark.parametrize("how", CALLS)
def test_tasks_run_where_an_annotation_says(client: Any, second: str, how: str) -> None:
    parts = sums(0, 1, 2, 3)
    with dask.annotate(workers=second):
        futures = CALLS[how](client, parts)
    assert workers_of(client, futures) == [second] * 4


@pytest.mark.parametrize("how", CALLS)
def test_an_annotation_may_be_a_function_of_the_key(client: Any, second: str, how: str) -> None:
    parts = sums(0, 1, 2, 3)
    with dask.annotate(workers=lambda key: [second]):
        futures = CALLS[how](client, parts)
    assert workers_of(client, futures) == [second] * 4


def test_a_keyword_goes_before_an_annotation(client: Any, second: str) -> None:
    first, parts = next(iter(client.nthreads())), sums(100, 101)
    with dask.annotate(workers=first):
        futures = client.map(inc, range(100, 104), workers=second)
        futures += client.compute(parts, workers=[second])
    assert workers_of(client, futures) == [second] * 6


def test_dasks_own_calls_heed_it_too(client: Any, second: str) -> None:
    array = da.ones(8, chunks=2)
    with dask.annotate(workers=[second]):
        kept = (array + 5).persist()
    assert workers_of(client, client.futures_of(kept)) == [second] * 4


def test_all_options_can_be_annotations(client: Any, tmp_path: Any) -> None:
    with dask.annotate(retries=2, resources={"GPU": 1}, priority=3, allow_other_workers=True, of_ones_own="?"):
        assert client.submit(fail_first, Tally(tmp_path / "tries"), 2).result() == 2
        assert client.gather(client.map(inc, [1])) == [2]
    with dask.annotate(resources={"FPGA": 1}):
        impossible = client.submit(inc, 300)
    assert client.submit(inc, 301).result() == 302
    assert impossible.status == "pending"
    impossible.cancel()


def test_other_workers_may_run_it_if_an_annotation_says_so(client: Any) -> None:
    with dask.annotate(workers="nobody", allow_other_workers=True):
        assert client.submit(inc, 400).result() == 401
        assert client.compute(sums(400))[0].result() == 401


@pytest.mark.differs("bad input")
def test_a_wrong_annotation_is_refused(client: Any) -> None:
    with dask.annotate(resources={"GPU": "many"}), pytest.raises(TypeError, match=r"resources=\{'GPU': 'many'\}"):
        client.submit(inc, 500)


def said_of(client: Any, futures: list[Any]) -> list[Any]:
    """What the scheduler knows of their tasks that is neither a worker nor a priority."""

    def look(keys: list[Any], dask_scheduler: Any) -> list[dict[str, Any]]:
        return [dict(dask_scheduler.tasks[key].annotations) for key in keys]

    client.gather(futures)
    return list(client.run_on_scheduler(look, [future.key for future in futures]))


@pytest.mark.parametrize("how", CALLS)
def test_what_a_user_made_up_is_known_to_the_scheduler(client: Any, how: str) -> None:
    parts = sums(0, 1, 2, 3)
    with dask.annotate(team={"name": "blue", "size": [1, 2]}, priority=2, note=lambda key: len(str(key)) > 1):
        futures = CALLS[how](client, parts)
    assert said_of(client, futures) == [{"team": {"name": "blue", "size": [1, 2]}, "priority": 2, "note": True}] * 4


def test_what_a_graph_says_of_its_tasks_goes_before(client: Any) -> None:
    kept = layered(client, {"team": "red", "note": lambda key: key[1]})
    with dask.annotate(team="blue", actor="none", of=["all"]):
        futures = layered(client, {"team": "red", "note": lambda key: key[1]}, "both")
    assert said_of(client, kept) == [{"team": "red", "note": n} for n in range(2)]
    assert said_of(client, futures) == [{"team": "red", "note": n, "actor": "none", "of": ["all"]} for n in range(2)]


def layered(client: Any, annotations: dict[str, Any], name: str = "layered") -> list[Any]:
    """Futures for two tasks of a graph, of which one layer says something."""
    layer = MaterializedLayer({(name, n): (inc, n) for n in range(2)}, annotations=annotations)
    graph = HighLevelGraph({name: layer}, {name: set()})
    return list(client.get(graph, [(name, n) for n in range(2)], sync=False))


def test_plugins_are_told_of_it(api: Any, client: Any) -> None:
    class Listening(api.SchedulerPlugin):  # type: ignore[misc]
        def update_graph(self, scheduler: Any, *, keys: Any, annotations: Any, **kwargs: Any) -> None:
            scheduler.log_event("said", {"keys": sorted(keys), "said": {**annotations}})

    client.register_plugin(Listening(), name="listening")
    with dask.annotate(team="blue"):
        client.submit(inc, 600, key="told").result()
    client.unregister_scheduler_plugin("listening")
    assert client.get_events("said")[-1][1] == {"keys": ["told"], "said": {"team": {"told": "blue"}}}


@pytest.mark.differs("bad input")
def test_what_cannot_be_pickled_is_refused(api: Any, client: Any) -> None:
    with dask.annotate(team=threading.Lock()), pytest.raises(TypeError, match=r"annotations\['team'\]"):
        client.submit(inc, 700)
