from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nbcluster.errors import SerializationError
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.serialize import dump, load
from nbcluster.store.memory import SPILL_MIN, Datum, MemoryStore
from nbcluster.store.spill import SpillError, SpillFolder
from tests.support.in_shared_memory import InSharedMemory


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


# --- on disk ---


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SpillFolder]:
    folder = SpillFolder(tmp_path / "spill")
    yield folder
    folder.close()


def large(number: int = 0) -> Datum:
    value = np.full(SPILL_MIN, number, "u1")
    return Datum(value, value.nbytes, "numpy.ndarray")


def test_what_is_on_disk_is_read_anew_each_time_and_not_kept(folder: SpillFolder) -> None:
    datum = large(7)
    assert datum.spill(folder.write(datum.dump()))
    assert (datum.own_nbytes, datum.nbytes, datum.spilled_nbytes > datum.nbytes) == (0, SPILL_MIN, True)
    assert datum.is_spilled
    assert not datum.is_pickled
    first, second = datum.load(), datum.load()
    assert (first == 7).all()
    assert not np.shares_memory(first, second)
    assert (load(datum.dump()) == 7).all()


def test_a_pickled_datum_goes_to_disk_as_it_came(folder: SpillFolder) -> None:
    payload = dump(np.zeros(SPILL_MIN, "u1"))
    datum = Datum.pickled(payload, SPILL_MIN)
    assert datum.spill(folder.write(datum.dump()))
    assert datum.dump().data == payload.data
    assert len(datum.load()) == SPILL_MIN


def test_a_damaged_file_is_an_error_for_who_loads_and_for_who_dumps(folder: SpillFolder) -> None:
    datum = large()
    file = folder.write(datum.dump())
    datum.spill(file)
    os.truncate(file.path, 100)
    for use in (datum.load, datum.dump):
        with pytest.raises(SpillError):
            use()


def test_what_is_just_being_unpickled_stays_in_memory(folder: SpillFolder) -> None:
    unpickling, go_on = threading.Event(), threading.Event()
    _gates[:] = [unpickling, go_on]
    datum = Datum.pickled(dump(Gated()), 100)
    thread = threading.Thread(target=datum.load)
    thread.start()
    unpickling.wait()
    assert not datum.spill(folder.write(dump(1)))
    go_on.set()
    thread.join()
    assert datum.load() == "through"
    assert not datum.is_spilled
    assert datum.spill(folder.write(datum.dump()))
    assert datum.load() == "through"


_gates: list[threading.Event] = []


def _pass() -> str:
    _gates[0].set()
    _gates[1].wait()
    return "through"


class Gated:
    def __reduce__(self) -> Any:
        return _pass, ()


def test_whoever_loads_while_it_goes_to_disk_gets_the_result(folder: SpillFolder) -> None:
    stop = threading.Event()
    current = [large()]
    failures: list[BaseException] = []

    def use() -> None:
        while not stop.is_set():
            try:
                assert len(current[0].load()) == SPILL_MIN
                assert load(current[0].dump()).nbytes == SPILL_MIN
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(200):
        current[0] = datum = large() if number % 2 else Datum.pickled(large().dump(), SPILL_MIN)
        datum.spill(folder.write(datum.dump()))
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_coldest_is_the_one_that_was_stored_or_used_the_longest_ago() -> None:
    store = MemoryStore()
    for number in range(4):
        store.put(f"x-{number}", large())
    store.get("x-0")
    store.put("x-2", large())
    assert [found[0] for found in iter(store.take_coldest, None)] == ["x-1", "x-3", "x-0", "x-2"]
    assert not store.can_spill
    assert len(store) == 4


def test_what_is_small_or_shared_is_never_offered() -> None:
    store = MemoryStore()
    store.put("small", Datum(b"x", SPILL_MIN - 1))
    shared = Datum(b"x", SPILL_MIN)
    shared.shared_nbytes = SPILL_MIN
    store.put("shared", shared)
    assert store.take_coldest() is None


def test_what_was_taken_is_offered_again_only_if_it_is_given_back() -> None:
    store = MemoryStore()
    store.put("x", large())
    store.put("y", large())
    key, datum = store.take_coldest() or pytest.fail("nothing")
    store.get(key)
    store.offer(key, datum)
    assert store.take_coldest() == ("x", datum), "it is the coldest still"
    store.drop("x")
    store.offer("x", datum)
    assert (store.take_coldest() or ("",))[0] == "y", "what was dropped is not given back"


def test_a_file_for_what_was_replaced_meanwhile_is_not_wanted(folder: SpillFolder) -> None:
    store = MemoryStore()
    store.put("x", large(1))
    key, datum = store.take_coldest() or pytest.fail("nothing")
    store.put("x", large(2))
    file = folder.write(datum.dump())
    assert not store.spilled(key, datum, file)
    assert not datum.is_spilled
    assert (store.nbytes, store.spilled_nbytes) == (SPILL_MIN, 0)


@pytest.mark.parametrize("value", [b"x" * SPILL_MIN, np.ones(SPILL_MIN)])
def test_what_has_to_be_copied_out_of_shared_memory_is_not_kept_beside_it(value: Any) -> None:
    payload = dump(value)
    frames = tuple(Frame(None, shared=InSharedMemory(memoryview(frame.open()))) for frame in payload.frames)
    datum = Datum.pickled(Payload(payload.data, frames), SPILL_MIN)
    first, second = datum.load(), datum.load()
    assert (first is second) == (type(value) is not bytes)


class Accounts(RuleBasedStateMachine):
    """Whatever is stored, spilled and dropped: a recount gives what the store says."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.model: dict[str, Datum] = {}
        self.order: list[str] = []
        self.taken: list[tuple[str, Datum]] = []
        self.directory = tempfile.TemporaryDirectory()
        self.folder = SpillFolder(Path(self.directory.name) / "spill")

    keys = st.sampled_from("abcdef")

    @rule(key=keys, size=st.sampled_from([10, SPILL_MIN, 2 * SPILL_MIN]))
    def put(self, key: str, size: int) -> None:
        self.model[key] = datum = Datum(bytes(size), size)
        self.store.put(key, datum)
        self.order = [other for other in self.order if other != key] + [key] * (size >= SPILL_MIN)

    @rule(key=keys)
    def get(self, key: str) -> None:
        assert self.store.get(key) is self.model.get(key)
        if key in self.order:
            self.order.remove(key)
            self.order.append(key)

    @precondition(lambda self: self.model)
    @rule(pick=st.integers(0, 100))
    def drop(self, pick: int) -> None:
        key = list(self.model)[pick % len(self.model)]
        del self.model[key]
        self.store.drop(key)
        self.order = [other for other in self.order if other != key]

    @rule()
    def take(self) -> None:
        found = self.store.take_coldest()
        assert (found is None) == (not self.order)
        if found is not None:
            assert found == (self.order.pop(0), self.model[found[0]])
            self.taken.append(found)

    @precondition(lambda self: self.taken)
    @rule(how=st.sampled_from(["written", "refused", "unpicklable"]))
    def end(self, how: str) -> None:
        key, datum = self.taken.pop()
        still_there = self.model.get(key) is datum
        if how == "written":
            assert self.store.spilled(key, datum, self.folder.write(datum.dump())) == still_there
            assert len(datum.load()) == datum.nbytes
        elif how == "refused":
            self.store.offer(key, datum)
            self.order[:0] = [key] * still_there

    @invariant()
    def recount(self) -> None:
        assert set(self.store) == set(self.model)
        assert self.store.nbytes == sum(datum.own_nbytes for datum in self.model.values())
        assert self.store.spilled_nbytes == sum(datum.spilled_nbytes for datum in self.model.values())
        assert self.store.can_spill == bool(self.order)

    def teardown(self) -> None:
        self.store.clear()
        assert (self.store.nbytes, self.store.spilled_nbytes, self.store.can_spill) == (0, 0, False)
        self.model.clear()
        self.taken.clear()
        self.folder.sweep()
        assert not self.folder.path.exists() or not list(self.folder.path.iterdir()), "files outlive what was in them"
        self.directory.cleanup()


TestAccounts = Accounts.TestCase
TestAccounts.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
