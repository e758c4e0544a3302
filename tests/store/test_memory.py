from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from nbcluster.errors import SerializationError
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.serialize import dump, load
from nbcluster.store.memory import Datum, MemoryStore


def test_what_is_stored_is_found_and_counted() -> None:
    store = MemoryStore()
    store.put("x", Datum(1, 10))
    store.put("y", Datum(2, 20))
    datum = store.get("x")
    assert datum is not None
    assert datum.load() == 1
    assert (len(store), store.nbytes, list(store), "x" in store, "z" in store) == (2, 30, ["x", "y"], True, False)
    assert store.get("z") is None


def test_replacing_and_dropping_keeps_the_count() -> None:
    store = MemoryStore()
    store.put("x", Datum(1, 10))
    store.put("x", Datum(2, 5))
    assert store.nbytes == 5
    store.drop("x")
    assert (len(store), store.nbytes) == (0, 0)
    with pytest.raises(KeyError):
        store.drop("x")


def test_clearing_forgets_everything() -> None:
    store = MemoryStore()
    store.put("x", Datum(1, 10))
    store.clear()
    assert (len(store), store.nbytes) == (0, 0)


def test_a_pickled_datum_is_unpickled_once_for_all_threads() -> None:
    datum = Datum.pickled(dump([1, 2]), 100)
    assert datum.is_pickled
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(datum.load())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[1, 2]] * 4
    assert len(set(map(id, found))) == 1
    assert not datum.is_pickled


def test_a_pickled_datum_is_passed_on_as_it_came() -> None:
    payload = dump("x")
    assert Datum.pickled(payload, 10).dump() is payload


def test_a_live_datum_is_pickled_without_copying_its_buffers() -> None:
    array = np.zeros(100_000, "u1")
    payload = Datum(array, array.nbytes).dump()
    array[0] = 1
    assert load(payload)[0] == 1


def test_a_live_payload_is_a_live_datum_and_can_be_pickled() -> None:
    value = [1]
    datum = Datum.pickled(Payload.of_live(value), 10)
    assert datum.load() is value
    assert load(datum.dump()) == value


def test_what_cannot_be_pickled_says_where() -> None:
    with pytest.raises(SerializationError) as caught:
        Datum([threading.Lock()], 10).dump()
    assert caught.value.path == "result[0]"
