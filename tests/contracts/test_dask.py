"""Dask's collections: the same answers as from dask's own threads."""

from __future__ import annotations

import asyncio
import operator
import os
import threading
from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
from dask.utils import SerializableLock

from tests.contracts.gates import Gate, Mishap, at_gate, fail_with, inc

FRAME = pd.DataFrame({"a": range(40), "b": [n % 4 for n in range(40)], "c": [n / 8 for n in range(40)]})


def array() -> Any:
    return da.from_array(np.arange(144.0).reshape(12, 12), chunks=(4, 3))


def frame() -> Any:
    return dd.from_pandas(FRAME, npartitions=4)


def delayed_sum() -> Any:
    add = dask.delayed(operator.add, pure=True)
    return add(add(1, 2), [add(3, 4), 5][0])


COMPUTATIONS: dict[str, Callable[[], Any]] = {
    "array sum": lambda: array().sum(),
    "array of several operations": lambda: ((array() + array().T) * 2 - array().mean(axis=0)).std(axis=1),
    "array matmul": lambda: array() @ array().T,
    "array rechunked": lambda: array().rechunk((5, 6))[::2, 3:7],
    "array of chunks by a lambda": lambda: array().map_blocks(lambda block: block * 3),
    "array that is made there": lambda: da.random.default_rng(7).random((20, 20), chunks=5).max(axis=0),
    "array decomposed": lambda: da.linalg.svd(array().rechunk((4, 12)))[1],
    "delayed": delayed_sum,
    "delayed list": lambda: dask.delayed([delayed_sum(), {"x": delayed_sum()}, (1, delayed_sum())]),
    "delayed keywords": lambda: dask.delayed(int)("ff", base=dask.delayed(operator.mul)(8, 2)),
    "delayed attribute": lambda: dask.delayed(complex)(1, 2).imag + 5,
    "bag": lambda: db.from_sequence(range(30), npartitions=3).map(inc).filter(lambda n: n % 2).sum(),
    "bag counted": lambda: db.from_sequence("abracadabra", npartitions=3).frequencies(sort=True),
    "bag grouped": lambda: db.from_sequence(range(12), npartitions=3).foldby(lambda n: n % 3, operator.add),
    "frame mean": lambda: frame().c.mean(),
    "frame grouped": lambda: frame().groupby("b").agg({"a": "sum", "c": "mean"}),
    "frame filtered": lambda: frame()[frame().a > 7].assign(d=frame().a * 2),
    "frame merged": lambda: frame().merge(frame().rename(columns={"c": "e"}), on="a", shuffle_method="tasks"),
    "frame shuffled": lambda: frame().shuffle("b", shuffle_method="tasks").map_partitions(len),
    "frame described": lambda: frame().describe(),
}


def same(result: Any, expected: Any) -> None:
    if isinstance(expected, (pd.DataFrame, pd.Series)):
        sort = ["a"] if isinstance(expected, pd.DataFrame) and "a" in expected and expected.index.nlevels == 1 else None
        if sort and len(expected) == len(FRAME):
            result, expected = result.sort_values(sort), expected.sort_values(sort)
        equal = pd.testing.assert_frame_equal if isinstance(expected, pd.DataFrame) else pd.testing.assert_series_equal
        equal(result.reset_index(drop=True), expected.reset_index(drop=True))
    elif isinstance(expected, np.ndarray):
        np.testing.assert_allclose(result, expected)
    else:
        assert result == expected


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_get_is_a_scheduler_for_dask(client: Any, name: str) -> None:
    collection = COMPUTATIONS[name]()
    same(collection.compute(scheduler=client.get), collection.compute(scheduler="threads"))


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_compute_gives_a_future_of_the_whole_result(client: Any, name: str) -> None:
    collection = COMPUTATIONS[name]()
    same(client.compute(collection).result(), collection.compute(scheduler="threads"))


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_what_is_persisted_is_an_equal_collection(client: Any, name: str) -> None:
    collection = COMPUTATIONS[name]()
    kept = client.persist(collection)
    assert type(kept) is type(collection)
    for _ in range(2):
        same(kept.compute(scheduler=client.get), collection.compute(scheduler="threads"))


# --- get ---


def test_get_takes_keys_in_lists_and_gives_results_in_the_same_structure(client: Any) -> None:
    dsk = {"x": 1, ("y", 0): (inc, "x"), "z": (sum, [("y", 0), "x"])}
    assert client.get(dsk, "z") == 3
    assert client.get(dsk, ["z", "x"]) == [3, 1]
    assert client.get(dsk, [["z"], ["x", [("y", 0)]]]) == [[3], [1, [2]]]
    assert client.get(dsk, []) == []


def test_get_gives_futures_if_it_is_not_to_wait(client: Any) -> None:
    future, [other] = client.get({"one": (inc, 1), "two": (inc, "one")}, ["two", ["one"]], sync=False)
    assert client.gather([future, other]) == [3, 2]


def test_one_graph_may_use_futures_of_another(client: Any) -> None:
    future = client.submit(inc, 10)
    assert client.get({"next": (inc, future), "both": (sum, ["next", future])}, "both") == 23
    assert dask.delayed(inc)(future).compute(scheduler=client.get) == 12
    assert dask.delayed(sum)([future, future]).compute(scheduler=client.get) == 22


def test_what_a_task_of_a_graph_raises_is_raised(client: Any) -> None:
    with pytest.raises(Mishap, match="boom"):
        client.get({"bad": (fail_with, "boom"), "y": (inc, "bad")}, "y")
    assert client.get({"good": (inc, 1)}, "good") == 2


def test_tasks_that_need_each_other_are_refused(client: Any) -> None:
    with pytest.raises(RuntimeError, match="Cycle detected"):
        client.get({"x": (inc, "y"), "y": (inc, "x")}, "x")


@pytest.mark.differs("bad input")
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda client: client.get({"x": 1}, "y"), KeyError, "'y' was asked for, but is not in the graph"),
        (lambda client: client.get(5, "x"), TypeError, "dsk=5 is not a graph of dask's"),
        (lambda client: client.get({"x": 1}, "x", retries=-1), ValueError, "retries=-1"),
        (lambda client: client.get({"x": 1}, "x", priority="high"), TypeError, "priority='high'"),
        (lambda client: client.get({"x": 1}, "x", colour="red"), TypeError, "colour='red' is no option"),
        (lambda client: client.compute([], actors=5), TypeError, "actors=5"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(client: Any, call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(client)


# --- compute and persist ---


def test_several_collections_are_computed_together(client: Any) -> None:
    total, mean = client.compute([array().sum(), array().mean()])
    assert client.gather([total, mean]) == [array().sum().compute(scheduler="sync"), 71.5]
    assert client.compute([array().sum(), delayed_sum()], sync=True) == [10296.0, 10]


def test_collections_of_several_kinds_keep_their_places(client: Any) -> None:
    futures = client.compute([array().sum(), array().min(), 5, delayed_sum(), "text", delayed_sum() + 1])
    assert [futures[2], futures[4]] == [5, "text"]
    assert client.gather(futures) == [10296.0, 0.0, 5, 10, "text", 11]


def test_collections_inside_of_containers_are_found(client: Any) -> None:
    nested = client.compute([[array().sum(), {"x": delayed_sum()}], 5])
    assert client.gather(nested) == [[10296.0, {"x": 10}], 5]


def test_persisted_parts_are_not_computed_again(client: Any, tmp_path: Any) -> None:
    def note(block: Any) -> Any:
        (tmp_path / f"{len(list(tmp_path.iterdir()))}-{block[0]}").touch()
        return block

    kept = client.persist(da.arange(8, chunks=4).map_blocks(note, dtype=int, meta=np.array([], dtype=int)))
    assert kept.sum().compute(scheduler=client.get) == 28
    first = len(list(tmp_path.iterdir()))
    assert (kept + 1).sum().compute(scheduler=client.get) == 36
    assert len(list(tmp_path.iterdir())) == first == 2


def test_persist_does_not_wait(api: Any, client: Any, gate: Gate) -> None:
    kept = client.persist(dask.delayed(at_gate)(gate, 5))
    [future] = api.futures_of(kept)
    assert future.status == "pending"
    gate.open()
    assert kept.compute(scheduler=client.get) == 5


def test_several_collections_are_persisted_together(client: Any) -> None:
    one, two, three = client.persist([array(), delayed_sum(), array() + 1])
    assert (three.sum() - one.sum()).compute(scheduler=client.get) == 144
    assert two.compute(scheduler=client.get) == 10


def test_a_persisted_collection_can_be_persisted_again(client: Any) -> None:
    kept = client.persist(client.persist(array() + 1))
    assert kept.sum().compute(scheduler=client.get) == 10440


def test_a_graph_waits_for_what_is_being_persisted(client: Any, gate: Gate) -> None:
    kept = client.persist(dask.delayed(at_gate)(gate, 5))
    future = client.compute(kept + 1)
    del kept
    gate.open()
    assert future.result() == 6


def test_equal_collections_share_their_tasks(client: Any) -> None:
    one, other = client.compute(delayed_sum()), client.compute(delayed_sum())
    assert one.key == other.key


def test_annotations_are_heeded(client: Any, tmp_path: Any) -> None:
    def fails_at_first(block: Any) -> Any:
        if not (tmp_path / "tried").exists():
            (tmp_path / "tried").touch()
            raise Mishap("at first")
        return block

    with dask.annotate(retries=2):
        total = dask.delayed(fails_at_first)(5)
    assert client.compute(total, optimize_graph=False).result() == 5


def test_tasks_wait_for_a_worker_that_has_what_they_need(client: Any) -> None:
    impossible = client.compute(delayed_sum() + 1, resources={"FPGA": 1})
    with dask.annotate(resources={"FPGA": 1}):
        annotated = dask.delayed(inc)(100)
    also_impossible = client.compute(annotated + 1, optimize_graph=False)
    possible = client.compute([dask.delayed(inc)(200), array().sum()], resources={"GPU": 1}, priority=-1)
    assert client.gather(possible) == [201, 10296.0]
    assert [impossible.status, also_impossible.status] == ["pending", "pending"]
    client.cancel([impossible, also_impossible])


def test_retries_count_for_all_tasks_of_a_graph(client: Any, tmp_path: Any) -> None:
    def fails_at_first(number: int) -> int:
        if not (tmp_path / str(number)).exists():
            (tmp_path / str(number)).touch()
            raise Mishap("at first")
        return number

    assert client.get({"first": (fails_at_first, 1), "then": (fails_at_first, "first")}, "then", retries=1) == 1


def test_persisted_parts_can_be_waited_for(api: Any, client: Any) -> None:
    kept = client.persist([array(), delayed_sum()])
    done, not_done = api.wait(kept, timeout=30)
    assert (len(done), len(not_done)) == (13, 0)
    assert len(api.futures_of(kept)) == 13
    assert api.futures_of(array()) == []


class Counter:
    def __init__(self) -> None:
        self.n = 0

    def increment(self) -> int:
        self.n += 1
        return self.n


def count(times: int, counter: Any) -> int:
    for _ in range(times):
        counter.increment().result()
    return times


def last_of(counter: Any, counted: list[int]) -> tuple[int, int]:
    return int(counter.increment().result()), sum(counted)


@pytest.mark.parametrize("how", ["compute", "persist", "get", "dask"])
def test_a_task_of_a_graph_may_make_an_actor(client: Any, how: str) -> None:
    counter = dask.delayed(Counter)()
    total = dask.delayed(last_of)(counter, [dask.delayed(count)(times, counter) for times in range(4)])
    if how == "get":
        graph = {"counter": (Counter,), "once": (count, 1, "counter"), "last": (last_of, "counter", ["once"])}
        assert client.get(graph, "last", actors=("counter",)) == (2, 1)
    elif how == "compute":
        assert client.compute(total, actors=counter).result() == (7, 6)
    elif how == "persist":
        assert client.persist(total, actors=counter).compute() == (7, 6)
    else:
        assert total.compute(actors=counter) == (7, 6)


def test_all_that_is_asked_for_may_be_actors(api: Any, client: Any) -> None:
    counter = client.persist(dask.delayed(Counter)(), actors=True)
    [future] = api.futures_of(counter)
    assert future.result().increment().result() == 1


@pytest.mark.differs("shuffle methods")
def test_a_method_that_needs_the_peers_workers_is_refused(client: Any) -> None:
    with pytest.raises(ValueError, match="here the method is 'tasks'"):
        frame().shuffle("b", shuffle_method="p2p").compute()
    with (
        dask.config.set({"array.rechunk.method": "p2p"}),
        pytest.raises(ValueError, match="here the method is 'tasks'"),
    ):
        array().rechunk((1, 12)).compute()
    assert len(frame().shuffle("b").compute()) == len(FRAME)


# --- the default scheduler ---


def there(block: Any) -> Any:
    """Where it is computed: in a thread of a worker's?"""
    return threading.current_thread().name


def test_the_default_client_is_dasks_default_scheduler(api: Any, client: Any) -> None:
    here = dask.delayed(there)(0).compute(scheduler="threads")
    assert dask.delayed(there)(0).compute().rstrip("0123456789") != here.rstrip("0123456789_")
    same(array().sum().compute(), array().sum().compute(scheduler="threads"))
    [kept] = dask.persist(array())
    assert len(api.futures_of(kept)) == 12
    [total, smallest] = dask.compute(array().sum(), array().min())
    assert (total, smallest) == (10296.0, 0.0)


@pytest.mark.parametrize("name", ["distributed", "dask.distributed", "Distributed"])
def test_the_default_client_can_be_asked_for_by_name(client: Any, name: str) -> None:
    value = dask.delayed(there)(0)
    here = value.compute(scheduler="threads")
    assert value.compute(scheduler=name).rstrip("0123456789") != here.rstrip("0123456789_")
    with dask.config.set(scheduler=name):
        assert value.compute().rstrip("0123456789") != here.rstrip("0123456789_")


def test_who_names_another_scheduler_gets_it(client: Any) -> None:
    assert dask.delayed(there)(0).compute(scheduler="sync") == threading.current_thread().name
    with dask.config.set(scheduler="sync"):
        assert dask.delayed(there)(0).compute() == threading.current_thread().name


def test_within_as_current_it_is_that_client_whatever_was_configured_before(client: Any) -> None:
    name, value = threading.current_thread().name, dask.delayed(there)(0)
    with dask.config.set(scheduler="sync"):
        with client.as_current():
            assert value.compute() != name
            with dask.config.set(scheduler="sync"):
                assert value.compute() == name
                with client.as_current():
                    assert value.compute() != name
            assert value.compute() != name
        assert value.compute() == name


def test_within_as_current_it_is_a_client_that_is_not_the_default_one(api: Any, keywords: Any) -> None:
    bag = dask.bag.from_sequence([0], npartitions=1).map(there)
    with api.Client(**keywords(n_workers=1), set_as_default=False) as client, dask.config.set(scheduler=None):
        with client.as_current():
            there_too = bag.compute()
        assert there_too == client.compute(bag).result()
        with dask.config.set(scheduler="sync"):
            assert bag.compute() != there_too


# --- options ---


def first_worker(client: Any) -> str:
    return str(next(iter(client.scheduler_info()["workers"])))


def holders(client: Any, futures: list[Any]) -> set[str]:
    """The workers that hold these results; what is small may be held by nobody but the scheduler."""
    return {address for where in client.who_has(futures).values() for address in where}


@pytest.mark.parametrize("others", [False, True])
def test_get_is_told_which_workers_to_use(api: Any, client: Any, others: bool) -> None:
    worker = first_worker(client)
    graph = {("n", n): (inc, n) for n in range(6)}
    futures = client.get(graph, list(graph), sync=False, workers=[worker], allow_other_workers=others)
    api.wait(futures)
    assert others or holders(client, futures) == {worker}


def test_compute_and_persist_are_told_which_workers_to_use(api: Any, client: Any) -> None:
    worker = first_worker(client)
    future = client.compute(array().sum(), workers=[worker], allow_other_workers=False)
    kept = client.persist(array() + 7, workers=[worker], allow_other_workers=False)
    api.wait([future, kept])
    assert holders(client, [future]) == {worker}
    assert holders(client, client.futures_of(kept)) == {worker}


def test_workers_that_are_not_there_are_a_preference_only_if_one_says_so(client: Any) -> None:
    nobody = ["tcp://127.0.0.1:1"]
    waiting = client.compute(dask.delayed(inc)(100), workers=nobody)
    assert client.compute(dask.delayed(inc)(200), workers=nobody, allow_other_workers=True).result() == 201
    kept = client.persist(dask.delayed(inc)(300), workers=nobody, allow_other_workers=True)
    assert kept.compute(scheduler=client.get) == 301
    assert waiting.status == "pending"
    client.cancel(waiting)


def test_compute_and_persist_try_again_as_often_as_they_are_told(client: Any, tmp_path: Any) -> None:
    def fails_at_first(number: int) -> int:
        if not (tmp_path / str(number)).exists():
            (tmp_path / str(number)).touch()
            raise Mishap("at first")
        return number

    assert client.compute(dask.delayed(fails_at_first)(1), retries=1).result() == 1
    assert client.persist(dask.delayed(fails_at_first)(2), retries=1).compute(scheduler=client.get) == 2


def test_what_is_persisted_waits_for_resources(client: Any) -> None:
    kept = client.persist(dask.delayed(inc)(400), resources={"FPGA": 1}, priority=5, fifo_timeout="1s")
    [future] = client.futures_of(kept)
    possible = client.persist(dask.delayed(inc)(500), resources={"GPU": 1})
    assert possible.compute(scheduler=client.get) == 501
    assert future.status == "pending"


@pytest.mark.parametrize("direct", [True, False, None])
def test_get_waits_for_resources_whichever_way_results_come(client: Any, direct: bool | None) -> None:
    graph = {"scarce": (inc, 1), "after": (inc, "scarce")}
    assert client.get(graph, ["scarce", "after"], resources={"GPU": 1}, direct=direct) == [2, 3]
    never = client.get({"too much": (inc, 1)}, "too much", resources={"GPU": 5}, sync=False, direct=direct)
    assert never.status == "pending"
    with pytest.raises(TimeoutError):
        never.result(timeout=0.05)


def test_collections_in_lists_are_left_alone_without_traverse(client: Any) -> None:
    total = array().sum()
    [inner] = client.compute([[total]], traverse=False)
    assert inner == [total] or inner[0] is total
    assert client.gather(client.compute([[total]])) == [[10296.0]]


def test_the_order_between_two_calls_can_be_given_up(client: Any) -> None:
    assert client.compute(delayed_sum() + 1000, fifo_timeout="0 s").result() == 1010
    assert client.get({"x": (inc, 1000)}, "x", fifo_timeout="1 s", priority=2) == 1001


def test_a_graph_may_be_persisted_as_it_is(client: Any) -> None:
    kept = client.persist((array() + 1).sum(), optimize_graph=False)
    assert kept.compute(scheduler=client.get) == 10440.0


def test_a_collection_starts_from_the_parts_that_are_there(client: Any) -> None:
    total = dask.delayed(sum)([1, 2, 3])
    assert client.futures_of(client.normalize_collection(total)) == []
    kept = client.persist(total)
    [future] = client.futures_of(kept)
    [same_one] = client.futures_of(client.normalize_collection(total))
    assert same_one.key == future.key


def test_futures_become_the_parts_of_collections(client: Any) -> None:
    blocks = [da.from_delayed(part, shape=(3,), dtype=float) for part in client.map(np.full, [3] * 2, [1.0, 2.0])]
    assert da.concatenate(blocks).sum().compute() == 9
    assert blocks[1].persist().compute().tolist() == [2, 2, 2]
    assert db.from_delayed(client.map(list, ["ab", "c"])).map(str.upper).compute() == ["A", "B", "C"]
    frames = client.map(pd.DataFrame, [{"x": [1, 2]}, {"x": [3]}])
    assert dd.from_delayed(frames, meta=pd.DataFrame({"x": [0]})).x.sum().compute() == 6
    assert dask.delayed(client.submit(inc, 1)).compute() == 2
    assert dask.delayed([client.submit(inc, 1)]).compute() == [2]


def total(block: Any, weights: Any = 0) -> Any:
    return block + sum(weights)


def test_what_is_mapped_over_parts_is_given_futures(client: Any) -> None:
    weights = client.scatter(np.arange(4))
    blocks, items = da.ones(4, chunks=2), db.from_sequence([1, 2], npartitions=2)
    assert blocks.map_blocks(total, weights, dtype=float).compute().tolist() == [7] * 4
    assert blocks.map_blocks(total, weights=weights, dtype=float).compute().tolist() == [7] * 4
    assert items.map(total, weights).compute() == [7, 8]
    assert items.map(total, weights=weights).compute() == [7, 8]
    parts = dd.from_pandas(pd.DataFrame({"x": [1, 2]}), npartitions=2)
    assert parts.map_partitions(total, weights, meta=parts).x.sum().compute() == 15


@pytest.mark.differs("own arrays")
def test_what_tasks_write_into_an_array_of_ones_own_stays_theirs(client: Any) -> None:
    target = np.zeros(4)
    da.store(da.ones(4, chunks=2), target)
    assert target.tolist() == [0] * 4


def test_what_is_stored_in_a_file_is_there(client: Any, tmp_path: Any) -> None:
    target = np.lib.format.open_memmap(tmp_path / "stored.npy", "w+", float, (4,))
    da.store(da.ones(4, chunks=2), Mapped(tmp_path / "stored.npy"))
    assert target.tolist() == [1] * 4


class Mapped:
    """An array in a file, which tasks of any process can write to."""

    def __init__(self, path: Any) -> None:
        self.path = path

    def __setitem__(self, where: Any, block: Any) -> None:
        np.load(self.path, mmap_mode="r+")[where] = block


class Exclusive:
    """What only one may write to at a time."""

    def __init__(self, path: Any) -> None:
        self.path = path

    def __setitem__(self, where: Any, block: Any) -> None:
        os.close(os.open(self.path, os.O_CREAT | os.O_EXCL))
        os.unlink(self.path)


def test_what_is_stored_is_written_under_a_lock_that_holds_on_all_workers(api: Any, client: Any, tmp_path: Any) -> None:
    assert isinstance(dask.utils.get_scheduler_lock(), api.Lock)
    assert isinstance(dask.utils.get_scheduler_lock(scheduler="threads"), SerializableLock)
    da.ones(20, chunks=1).store(Exclusive(tmp_path / "busy"))
    da.ones(20, chunks=1).store(Exclusive(tmp_path / "busy"), lock=api.Lock("of the user's"))


def test_dask_waits_for_what_was_persisted(api: Any, client: Any, gate: Gate) -> None:
    value = client.persist(dask.delayed(at_gate)(gate, 1))
    with pytest.raises(api.TimeoutError):
        dask.base.wait(value, timeout=0.01)
    gate.open()
    done, not_done = dask.base.wait(value)
    assert [future.status for future in done] == ["finished"]
    assert not not_done


def test_what_was_persisted_can_be_awaited(api: Any, keywords: Any, gate: Gate) -> None:
    async def main() -> None:
        async with api.Client(asynchronous=True, **keywords()) as client:
            values = client.persist(dask.delayed(at_gate)(gate, 1))
            asyncio.get_running_loop().call_soon(gate.open)
            assert await values is values
            assert [future.status for future in api.futures_of(values, client)] == ["finished"]

    asyncio.run(main())
