from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.gates import Tally, identity, inc, tallied


def test_a_list_is_scattered_by_element(client: Any) -> None:
    futures = client.scatter([1, 2, 3])
    assert isinstance(futures, list)
    assert [future.status for future in futures] == ["finished"] * 3
    assert client.gather(futures) == [1, 2, 3]
    assert client.gather(client.map(inc, futures)) == [2, 3, 4]


def test_a_dict_is_scattered_by_value_under_its_keys(client: Any) -> None:
    futures = client.scatter({"x": 1, "y": [2]})
    assert sorted(futures) == ["x", "y"]
    assert futures["x"].key == "x"
    assert client.gather(futures) == {"x": 1, "y": [2]}


@pytest.mark.parametrize("kind", [tuple, set])
def test_other_containers_keep_their_type(client: Any, kind: Any) -> None:
    futures = client.scatter(kind([f"{kind} a", f"{kind} b"]))
    assert type(futures) is kind
    assert client.gather(futures) == kind([f"{kind} a", f"{kind} b"])


@pytest.mark.parametrize("value", [5, "text", b"bytes", 1.5, None], ids=repr)
def test_anything_else_is_one_piece(client: Any, value: Any) -> None:
    assert client.scatter(value).result() == value


def test_what_cannot_be_pickled_may_be_scattered_among_threads(client: Any, keywords: Any) -> None:
    lock = threading.Lock()
    future, again = client.scatter(lock), client.scatter({"a lock": lock})["a lock"]
    assert client.submit(identity, future).result() is lock
    assert client.submit(identity, again, pure=False).result() is lock


def test_a_range_is_scattered_by_element(client: Any) -> None:
    assert client.gather(client.scatter(range(3))) == [0, 1, 2]


def test_an_iterator_is_refused(client: Any) -> None:
    with pytest.raises(TypeError):
        client.scatter(iter([1, 2]))


def test_equal_data_has_the_same_key(client: Any) -> None:
    first, second = client.scatter([[1, 2]]), client.scatter([[1, 2]])
    assert first[0].key == second[0].key
    assert first[0].key.startswith("list-")


def test_without_hashing_each_has_a_key_of_its_own(client: Any) -> None:
    first, second = client.scatter([[1, 2]], hash=False), client.scatter([[1, 2]], hash=False)
    assert first[0].key != second[0].key
    assert client.gather(first + second) == [[1, 2], [1, 2]]


def test_broadcast_data_is_usable_on_every_worker(client: Any) -> None:
    [future] = client.scatter([{"weights": [1, 2]}], broadcast=True)
    for address in client.scheduler_info()["workers"]:
        assert client.submit(identity, future, workers=[address], pure=False).result() == {"weights": [1, 2]}


def test_data_goes_to_the_workers_that_are_named(client: Any) -> None:
    address = next(iter(client.scheduler_info()["workers"]))
    [future] = client.scatter(["here"], workers=[address])
    assert client.submit(identity, future, workers=[address]).result() == "here"


def test_what_is_scattered_piece_by_piece_goes_to_all_workers_in_turn(client: Any) -> None:
    pieces = [client.scatter(f"piece {n}", hash=False) for n in range(6)]
    held = [set(keys) & {piece.key for piece in pieces} for keys in client.has_what().values()]
    assert [len(keys) for keys in held] == [3, 3]


def test_large_data_arrives_whole(client: Any) -> None:
    data = bytes(range(256)) * 4000
    future = client.scatter(data)
    assert client.submit(len, future).result() == len(data)
    assert future.result() == data


@pytest.mark.parametrize("direct", [True, False, None])
def test_data_is_the_same_by_whichever_way_it_goes(client: Any, direct: bool | None) -> None:
    data = [f"small {direct}", f"large {direct}".encode() * 50_000]
    futures = client.scatter(data, direct=direct)
    assert client.gather(futures) == data
    assert client.submit(len, futures[1]).result() == len(data[1])


def test_a_task_of_scattered_data_is_computed_once(client: Any, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")
    [data] = client.scatter([10])
    futures = [client.submit(tallied, tally, data) for _ in range(2)]
    assert client.gather(futures) == [10, 10]
    assert tally.count == 1


@pytest.mark.differs("scatter without workers")
def test_without_workers_scatter_times_out_and_says_why(api: Any, keywords: Any) -> None:
    with api.Client(**keywords(n_workers=0)) as client:
        with pytest.raises(api.TimeoutError, match="are there workers"):
            client.scatter([1], timeout=0.05)
        client.cluster.scale(1)
        assert client.scatter(5).result() == 5
