"""Large segments that a client fills again, piece after piece, and what becomes of them when memory is scarce."""

from __future__ import annotations

import gc
import mmap
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nbcluster.protocol.payload import Frame
from nbcluster.protocol.sharing import BlobId
from nbcluster.store import large_pages
from nbcluster.store.depot import KEPT_PART, Depot
from nbcluster.store.depot_links import LocalDepotLink
from nbcluster.store.kept import SECONDS
from nbcluster.store.shared import SharedStore
from tests.support.pieces import LARGE, bytes_of

# --- large segments that are filled again ---


class Clock:
    """Stands still."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(stores: Any, clock: Clock) -> SharedStore:
    """A process that shares one large piece after the other."""
    store: SharedStore = stores(refill=True, clock=clock)
    store.share(bytes_of(LARGE))  # a link may be made only now
    store.tidy()
    clock.now += SECONDS
    store.tidy()
    return store


def name_of(frame: Frame) -> BlobId:
    assert frame.shared is not None
    return frame.shared.name()


def memory_of(depot: Depot) -> int:
    """Bytes that its segments take, in use or not."""
    return sum(os.fstat(segment.fd).st_blocks * 512 for segment in depot._segments.values())


def test_a_large_segment_is_filled_again_when_nobody_sees_it_any_more(client: SharedStore, depot: Depot) -> None:
    for value in range(5):
        frame = client.share(bytes_of(LARGE, value))
        assert frame.open() == bytes_of(LARGE, value)
        assert (len(depot), depot.segments) == (1, 1)
        del frame
        assert (depot.nbytes, memory_of(depot)) == (0, LARGE)


def test_what_is_a_little_smaller_goes_there_too_and_what_is_larger_does_not(client: SharedStore, depot: Depot) -> None:
    sizes = [2 * LARGE, 2 * LARGE - 5, 2 * LARGE, 2 * LARGE + 1]
    segments_ = []
    for value, nbytes in enumerate(sizes):
        frame = client.share(bytes_of(nbytes, value))
        assert (frame.nbytes, frame.open()) == (nbytes, bytes_of(nbytes, value))
        assert depot.nbytes == nbytes
        segments_.append(depot.segments)
        del frame
    assert segments_ == [1, 1, 1, 2]


@pytest.mark.parametrize("large", [True, False])
def test_what_anybody_sees_never_changes_however_much_is_shared_afterwards(
    client: SharedStore, stores: Any, depot: Depot, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if not large:
        monkeypatch.setattr(large_pages, "_MADV_COLLAPSE", 9999)
    other = stores()
    kept: list[tuple[int, memoryview]] = []
    for value in range(30):
        frame = client.share(bytes_of(LARGE, value))
        blob = name_of(frame)
        depot.arrived(blob)
        view = memoryview(other.adopt(blob, LARGE).open())
        if value % 7 == 0:
            kept.append((value, view[5:]))  # part of a view holds all of it
        if value % 10 == 9:
            kept.pop(0)
        del frame, view
        assert all(view == bytes_of(LARGE, value)[5:] for value, view in kept)
    assert depot.segments <= 4
    kept.clear()
    gc.collect()
    assert depot.nbytes == 0


def test_a_view_that_was_written_to_keeps_what_was_written(client: SharedStore) -> None:
    view = memoryview(client.share(bytes_of(LARGE, 1)).open())
    view[: 1 << 20] = bytes_of(1 << 20, 2)
    for value in range(3, 6):
        client.share(bytes_of(LARGE, value))
    assert view == bytes_of(1 << 20, 2).tobytes() + bytes_of(LARGE - (1 << 20), 1).tobytes()


def test_what_the_scheduler_still_knows_of_is_not_overwritten(client: SharedStore, stores: Any, depot: Depot) -> None:
    scheduler = SharedStore(LocalDepotLink(depot), keep=True)
    frame = client.share(bytes_of(LARGE, 1))
    blob = name_of(frame)
    del frame  # the message that tells of it is on its way
    client.share(bytes_of(LARGE, 2))
    known = scheduler.adopt(blob, LARGE)
    client.share(bytes_of(LARGE, 3))
    assert known.open() == bytes_of(LARGE, 1)
    del known
    scheduler.close()
    assert depot.nbytes == 0


def test_memory_that_nobody_uses_is_given_back_after_a_while(client: SharedStore, depot: Depot, clock: Clock) -> None:
    frame = client.share(bytes_of(LARGE))
    clock.now += 10 * SECONDS
    client.tidy()
    assert memory_of(depot) == LARGE, "it is in use"
    del frame
    client.tidy()
    clock.now += SECONDS - 0.1
    client.tidy()
    assert memory_of(depot) == LARGE
    assert client.untidy
    clock.now += 0.1
    client.tidy()
    assert (memory_of(depot), depot.segments) == (0, 0)
    assert not client.untidy


def test_no_more_is_kept_than_a_part_of_what_may_be_shared(clock: Clock) -> None:
    depot = Depot(limit=KEPT_PART * 2 * LARGE)
    store = SharedStore(LocalDepotLink(depot, direct=False), refill=True, clock=clock)
    frames = [store.share(bytes_of(LARGE)) for _ in range(5)]
    frames.clear()
    assert (depot.segments, memory_of(depot)) == (2, 2 * LARGE)
    assert len(store._kept) == 2
    clock.now = 1.0
    store.tidy()
    clock.now += SECONDS
    store.tidy()
    assert depot.segments == 0
    frames = [store.share(bytes_of(LARGE)) for _ in range(2)]
    frames.clear()
    assert depot.segments == 2, "there is room again"
    store.close()
    depot.close()


def test_who_shares_no_more_keeps_no_memory_beside_what_is_seen(client: SharedStore, depot: Depot) -> None:
    frames = [client.share(bytes_of(LARGE, value)) for value in range(3)]
    view = frames[0].open()
    del frames
    assert depot.segments == 3
    client.close()
    assert (depot.segments, depot.nbytes) == (1, LARGE)
    assert view == bytes_of(LARGE, 0)
    del view
    assert depot.segments == 0


def test_of_who_dies_only_what_is_seen_is_left(stores: Any, depot: Depot) -> None:
    link = LocalDepotLink(depot, direct=False)
    dying = SharedStore(link, refill=True)
    frames = [dying.share(bytes_of(LARGE, value)) for value in range(3)]
    view = stores().adopt(name_of(frames[0]), LARGE).open()
    depot.leave(link._holder)
    depot.forget(link._holder)
    assert depot.segments == 1
    assert view == bytes_of(LARGE, 0)
    dying.close()
    del frames, view
    assert depot.segments == 0


def test_on_a_new_connection_the_segments_of_the_old_one_are_not_filled(depot: Depot) -> None:
    class Breaking(LocalDepotLink):
        def reconnect(self) -> None:
            depot.leave(self._holder)
            depot.forget(self._holder)
            self._holder = depot.join()
            self.connections += 1

    link = Breaking(depot, direct=False)
    store = SharedStore(link, refill=True)
    store.share(bytes_of(LARGE))
    assert depot.segments == 1
    link.reconnect()
    assert depot.segments == 0
    frame = store.share(bytes_of(LARGE, 9))
    assert frame.open() == bytes_of(LARGE, 9)
    del frame
    store.close()


def test_an_interrupt_while_a_segment_is_filled_again_leaves_nothing_of_it(
    client: SharedStore, depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    client.share(bytes_of(LARGE, 1))
    with monkeypatch.context() as patch:
        patch.setattr(large_pages.Filler, "put", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.share(bytes_of(LARGE, 2))
    client.tidy()
    assert (len(depot), depot.segments) == (0, 0)
    assert client.share(bytes_of(LARGE, 3)).open() == bytes_of(LARGE, 3)


def test_threads_fill_segments_again_at_the_same_time(client: SharedStore, depot: Depot) -> None:
    def share(value: int) -> bool:
        frame = client.share(bytes_of(LARGE, value))
        return frame.open() == bytes_of(LARGE, value)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(share, range(40)))
    assert depot.nbytes == 0
    assert depot.segments <= 4


# --- when memory is scarce ---


def shared_and_gone(store: SharedStore, nbytes: int) -> None:
    store.share(bytes_of(nbytes))
    gc.collect()


@pytest.fixture
def clocked(depot: Depot) -> Iterator[SharedStore]:
    """A client's store, for which no time passes."""
    store = SharedStore(LocalDepotLink(depot), refill=True, clock=lambda: 0.0)
    yield store
    store.close()


def kept_bytes(depot: Depot) -> int:
    return depot._idle


def test_what_is_kept_is_given_back_at_the_next_look_when_the_machine_is_short(
    depot: Depot, clocked: SharedStore
) -> None:
    shared_and_gone(clocked, LARGE)
    if not clocked._kept:
        pytest.skip("no memory can be filled again here")
    clocked.tidy()
    assert (depot.segments, kept_bytes(depot), depot.scarce) == (1, LARGE, False)
    depot._is_short = lambda: True
    clocked.tidy()
    assert (depot.segments, kept_bytes(depot)) == (0, 0)


def test_nothing_more_is_kept_while_the_machine_is_short(depot: Depot, clocked: SharedStore) -> None:
    depot._is_short = lambda: True
    for _ in range(3):
        shared_and_gone(clocked, LARGE)
        assert (depot.segments, kept_bytes(depot)) == (0, 0)


def test_what_is_kept_is_filled_again_even_then_and_the_rest_is_given_back(depot: Depot, clocked: SharedStore) -> None:
    frames = [clocked.share(bytes_of(size)) for size in (LARGE, 2 * LARGE, 4 * LARGE)]
    if not clocked._kept:
        pytest.skip("no memory can be filled again here")
    frames.clear()
    gc.collect()
    assert (depot.segments, kept_bytes(depot)) == (3, 7 * LARGE)
    depot._is_short = lambda: True
    frame = clocked.share(bytes_of(2 * LARGE))
    assert (depot.segments, kept_bytes(depot), depot.nbytes) == (1, 0, 2 * LARGE)
    assert frame.open() == bytes_of(2 * LARGE)


def test_what_is_kept_is_given_back_when_as_much_is_shared_as_may_be() -> None:
    limit = 2 * KEPT_PART * LARGE
    depot = Depot(limit)
    mine = SharedStore(LocalDepotLink(depot), refill=True, clock=lambda: 0.0)
    others = SharedStore(LocalDepotLink(depot))
    try:
        shared_and_gone(mine, LARGE)
        if not mine._kept:
            pytest.skip("no memory can be filled again here")
        mine.tidy()
        assert (kept_bytes(depot), depot.scarce) == (LARGE, False)
        huge = memoryview(mmap.mmap(-1, limit - limit // KEPT_PART))  # zeros
        frame = others.share(huge)
        assert depot.scarce
        mine.tidy()
        assert kept_bytes(depot) == 0
        assert depot.nbytes == huge.nbytes == frame.nbytes
    finally:
        mine.close()
        others.close()
        depot.close()
