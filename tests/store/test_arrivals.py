from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from nbcluster.errors import CommClosedError
from nbcluster.store.arrivals import Arrival
from nbcluster.store.depot import Depot
from nbcluster.store.depot_links import LocalDepotLink
from nbcluster.store.kept import SECONDS
from nbcluster.store.large_pages import SIZE
from nbcluster.store.shared import ALONE_MIN, SharedStore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs memfd")

LARGE = 4 * ALONE_MIN


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def store(depot: Depot, now: list[float]) -> Iterator[SharedStore]:
    store = SharedStore(LocalDepotLink(depot, direct=False), clock=lambda: now[0])
    yield store
    store.close()


def expected(store: SharedStore, nbytes: int) -> Arrival:
    arrival = store.expect(nbytes)
    if arrival is None:
        pytest.skip("no memory can be mapped where its large pages are")
    return arrival


def read_in(arrival: Arrival, value: int, until: int | None = None) -> None:
    """What a link does, in reads of odd sizes."""
    filled, end = 0, arrival.nbytes if until is None else until
    while filled < end:
        room = arrival.room(filled)
        count = min(len(room), 1_234_567, end - filled)
        room[:count] = bytes([value]) * count
        filled += count


@pytest.mark.parametrize("nbytes", [ALONE_MIN, ALONE_MIN + 1, LARGE - 1, LARGE])
def test_what_has_arrived_is_seen_by_others_uncopied(depot: Depot, store: SharedStore, nbytes: int) -> None:
    arrival = expected(store, nbytes)
    read_in(arrival, 7)
    assert len(depot) == 0, "nobody sees what is not complete"
    frame = store.settle(arrival)
    assert (len(depot), depot.nbytes, store.copied_bytes) == (1, nbytes, 0)
    other = SharedStore(LocalDepotLink(depot))
    assert frame.shared is not None
    view = memoryview(other.adopt(frame.shared.name(), nbytes).open())
    assert bytes(view) == bytes([7]) * nbytes
    view[0] = 1
    assert frame.open()[0] == 7
    del view
    other.close()


def test_what_is_small_is_shared_otherwise(store: SharedStore) -> None:
    assert store.expect(ALONE_MIN - 1) is None


def test_memory_is_made_ready_piece_by_piece_as_it_is_needed(store: SharedStore) -> None:
    arrival = expected(store, LARGE)
    assert len(arrival.room(0)) == SIZE
    assert len(arrival.room(5)) == SIZE - 5
    assert len(arrival.room(SIZE)) == SIZE
    store.give_up(arrival)


def test_what_does_not_arrive_leaves_nothing(depot: Depot, store: SharedStore) -> None:
    arrival = expected(store, LARGE)
    read_in(arrival, 7, LARGE // 2)
    store.give_up(arrival)
    del arrival
    assert (len(depot), depot.segments) == (0, 0)
    assert not store.untidy


def test_memory_is_filled_again_when_nobody_sees_what_was_there(
    depot: Depot, store: SharedStore, now: list[float]
) -> None:
    for value in range(3):
        arrival = expected(store, LARGE)
        read_in(arrival, value)
        frame = store.settle(arrival)
        assert bytes(frame.open()) == bytes([value]) * LARGE
        assert frame.shared is not None
        store.withdraw([frame.shared.name()])
        del frame, arrival
        gc.collect()
        assert depot.segments == 1
    now[0] += SECONDS
    store.tidy()  # hears that nobody wants it
    now[0] += SECONDS
    store.tidy()
    assert depot.segments == 0


def test_what_somebody_sees_is_not_filled_again(depot: Depot, store: SharedStore) -> None:
    first = expected(store, LARGE)
    read_in(first, 1)
    frame = store.settle(first)
    view = frame.open()
    del frame, first
    second = expected(store, LARGE)
    read_in(second, 2)
    store.settle(second)
    assert set(bytes(view)) == {1}


def test_memory_that_was_filled_again_in_part_is_dropped(depot: Depot, store: SharedStore) -> None:
    first = expected(store, LARGE)
    read_in(first, 1)
    frame = store.settle(first)
    assert frame.shared is not None
    store.withdraw([frame.shared.name()])
    del frame, first
    gc.collect()
    again = expected(store, LARGE)
    assert again.number is not None
    read_in(again, 2, LARGE // 2)
    store.give_up(again)
    del again
    store.tidy()
    assert depot.segments == 0


def test_a_closed_store_expects_nothing(store: SharedStore) -> None:
    arrival = expected(store, LARGE)
    store.close()
    assert store.expect(LARGE) is None
    with pytest.raises(CommClosedError):
        store.share(memoryview(bytes(LARGE)))
    store.give_up(arrival)


def test_what_nobody_is_told_of_is_given_back(depot: Depot, store: SharedStore) -> None:
    arrival = expected(store, LARGE)
    read_in(arrival, 1)
    frame = store.settle(arrival)
    assert frame.shared is not None
    blob = frame.shared.name()
    del frame, arrival
    gc.collect()
    assert depot.nbytes == LARGE, "the scheduler may yet read of it"
    store.withdraw([blob])
    assert depot.nbytes == 0
