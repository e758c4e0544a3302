from __future__ import annotations

import errno
import gc
import mmap
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from nbcluster.errors import CommClosedError, SharedDataGoneError
from nbcluster.protocol.fingerprints import fingerprint
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.serialize import SHARE_MIN, dump, load
from nbcluster.protocol.sharing import DepotReply, DepotRequest, Open, Refused
from nbcluster.store import segments, shared
from nbcluster.store.depot import Depot
from nbcluster.store.depot_links import LocalDepotLink
from nbcluster.store.shared import ARENA_SIZE, SharedStore
from tests.support.pieces import LARGE, SMALL, bytes_of


@pytest.mark.parametrize("nbytes", [1, SMALL, SMALL + 1, LARGE - 1, LARGE, LARGE + 1])
def test_what_one_shares_another_sees(stores: Any, nbytes: int) -> None:
    giver, taker = stores(), stores()
    frame = giver.share(bytes_of(nbytes))
    view = taker.adopt(frame.shared.name(), frame.nbytes).open()
    assert view == bytes_of(nbytes)
    assert giver.copied_bytes == nbytes


@pytest.mark.parametrize("nbytes", [1, SMALL, LARGE, LARGE + 1, 5 * LARGE])
def test_what_is_shared_can_be_hashed_on_the_way(stores: Any, nbytes: int) -> None:
    frame = stores().share(bytes_of(nbytes), True)
    assert frame.fingerprint == fingerprint(bytes_of(nbytes))
    assert stores().share(bytes_of(nbytes)).fingerprint is None


@pytest.mark.parametrize("nbytes", [SMALL, LARGE])
def test_what_is_written_to_a_view_is_seen_by_nobody_else(stores: Any, nbytes: int) -> None:
    giver, taker = stores(), stores()
    frame = giver.share(bytes_of(nbytes))
    mine, again = taker.adopt(frame.shared.name(), nbytes).open(), frame.open()
    mine[:] = bytes(nbytes)
    assert again == bytes_of(nbytes)
    assert frame.open() == bytes_of(nbytes)


@pytest.mark.parametrize("nbytes", [SMALL, LARGE])
def test_an_array_outlives_its_frame_and_whatever_is_shared_afterwards(stores: Any, depot: Depot, nbytes: int) -> None:
    giver, taker = stores(), stores()
    payload = giver.share_payload(dump(np.full(nbytes, 7, np.uint8)))
    name = payload.frames[0].shared.name()
    stores(keep=True).adopt(name, nbytes)  # the scheduler reads of it, and has no use for it
    array = load(Payload(payload.data, (taker.adopt(name, nbytes),)))
    assert array.flags.writeable
    array[0] = 1
    del payload
    for value in range(2 * ARENA_SIZE // nbytes):
        giver.share(bytes_of(nbytes, value % 7))
    assert depot.nbytes == nbytes
    assert array[0] == 1
    assert (array[1:] == 7).all()
    del array
    assert depot.nbytes == 0


def test_a_frame_that_nobody_was_told_of_is_withdrawn_with_its_blob(stores: Any, depot: Depot) -> None:
    store = stores()
    frame = store.share(bytes_of(LARGE))
    assert depot.nbytes == LARGE
    del frame
    assert depot.nbytes == 0


def test_a_frame_that_was_told_of_is_kept_until_the_scheduler_has_it(stores: Any, depot: Depot) -> None:
    store, scheduler = stores(), stores(keep=True)
    frame = store.share(bytes_of(LARGE))
    name = frame.shared.name()
    del frame
    assert depot.nbytes == LARGE
    kept = scheduler.adopt(name, LARGE)
    assert not Payload(b"x", (kept,)).is_lost
    assert kept.open()[0] == 7
    del kept
    assert depot.nbytes == 0


def test_what_was_gone_before_the_scheduler_read_of_it_is_lost_and_says_so(stores: Any) -> None:
    scheduler = stores(keep=True)
    lost = scheduler.adopt(1000, 10)
    assert Payload(b"x", (lost,)).is_lost
    with pytest.raises(SharedDataGoneError, match="10 bytes"):
        lost.open()


def test_small_results_share_their_descriptors_and_the_room_of_those_that_died(stores: Any, depot: Depot) -> None:
    store = stores()
    frames = [store.share(bytes_of(SMALL)) for _ in range(3 * ARENA_SIZE // SMALL)]
    assert depot.segments == 3
    for _ in range(3):
        del frames[::2]
        frames += [store.share(bytes_of(SMALL, 9)) for _ in range(3 * ARENA_SIZE // SMALL - len(frames))]
    assert depot.segments == 3
    frames.clear()
    store.tidy()
    assert (depot.segments, store.untidy) == (0, False)


def test_what_leaves_an_arena_in_many_pieces_all_comes_back(stores: Any, depot: Depot, monkeypatch: Any) -> None:
    monkeypatch.setattr(shared, "UNUSED_MOST", 5)
    monkeypatch.setattr("nbcluster.store.depot.UNUSED_MOST", 5)
    store = stores()
    frames = [store.share(bytes_of(1)) for _ in range(23)]
    frames.clear()
    store.tidy()
    assert depot.segments == 0


def test_only_what_is_large_is_shared_and_only_once(stores: Any) -> None:
    store = stores()
    small, large = dump(np.zeros(1000)), dump(np.zeros(SHARE_MIN, np.uint8))
    assert store.share_payload(small) is small
    moved = store.share_payload(large)
    assert moved.is_shared
    assert store.share_payload(moved) is moved
    assert store.copied_bytes == SHARE_MIN


def test_closing_leaves_views_and_frames_alone_and_the_last_of_them_ends_the_link(stores: Any, depot: Depot) -> None:
    store = stores()
    frames = [store.share(bytes_of(nbytes)) for nbytes in (SMALL, LARGE)]
    views = [frame.open() for frame in frames]
    store.close()
    assert [frame.open()[0] for frame in frames] == [7, 7]
    frames.clear()
    with pytest.raises(CommClosedError):
        store.share(bytes_of(SMALL))
    assert depot.nbytes == SMALL + LARGE
    assert views == [bytes_of(SMALL), bytes_of(LARGE)]
    views.clear()
    assert (depot.nbytes, depot.segments) == (0, 0)


def test_a_closed_depot_is_out_of_reach_for_those_in_its_process_too(stores: Any, depot: Depot) -> None:
    store = stores()
    frame = store.share(bytes_of(SMALL))
    depot.close()
    for nbytes in (SMALL, LARGE):
        with pytest.raises(CommClosedError):
            store.share(bytes_of(nbytes))
    with pytest.raises(SharedDataGoneError):
        frame.open()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_lets_go_of_nothing(stores: Any, depot: Depot) -> None:
    store = stores()
    frame = store.share(bytes_of(LARGE))
    view = frame.open()
    child = os.fork()
    if child == 0:
        try:
            del frame, view
            gc.collect()
            store.close()
            os._exit(0 if depot.nbytes == LARGE and not store._closed else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert view[0] == 7


def test_threads_share_and_see_at_the_same_time(stores: Any, depot: Depot) -> None:
    giver, taker = stores(), stores()

    def work(value: int) -> bool:
        right = True
        for turn in range(10):
            frame = giver.share(bytes_of(SMALL if turn % 2 else SMALL + 5, value))
            view = taker.adopt(frame.shared.name(), frame.nbytes).open()
            del frame
            right &= view[0] == view[-1] == value
        return right

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(1, 9)))
    scheduler = stores(keep=True)
    for blob in list(depot._blobs):
        scheduler.adopt(blob, 0)
    giver.tidy()
    assert (depot.nbytes, depot.segments) == (0, 0)


def test_garbage_that_holds_views_may_be_collected_during_any_call(stores: Any, depot: Depot) -> None:
    store = stores()
    old = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(30):
            cycle: list[Any] = [store.share(bytes_of(SMALL))]
            cycle += [cycle[0].open(), cycle]
            del cycle
    finally:
        gc.set_threshold(*old)
    gc.collect()
    store.tidy()
    assert (len(depot), depot.segments) == (0, 0)


def test_leaving_while_views_die_counts_nothing_twice(depot: Depot) -> None:
    link, other = LocalDepotLink(depot), SharedStore(LocalDepotLink(depot))
    store = SharedStore(link)
    frame = store.share(bytes_of(LARGE))
    view = other.adopt(frame.shared.name(), LARGE).open()  # type: ignore[union-attr]
    real, once = depot._let_go, [1]

    def let_go(blob: int, times: int) -> None:
        if once:
            once.pop()
            link.release(blob, False)  # a finalizer, in the midst of it
        real(blob, times)

    depot._let_go = let_go  # type: ignore[method-assign]
    link.close()
    assert view[0] == 7
    assert depot.nbytes == LARGE
    del view
    assert depot.nbytes == 0
    other.close()


# --- when something is short ---


class Short(LocalDepotLink):
    """Loses the descriptors of answers, as a process does that has too many open."""

    losing = 0

    def call(self, request: DepotRequest, fd: int | None = None) -> tuple[DepotReply, int | None]:
        reply, received = super().call(request, fd)
        if self.losing and isinstance(request, Open) and received is not None:
            self.losing -= 1
            os.close(received)
            received = None
        return reply, received


def test_an_answer_without_its_descriptor_raises_the_limit_and_asks_again(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[int] = []
    monkeypatch.setattr(segments, "allow_many_descriptors", lambda: raised.append(1))
    link = Short(depot)
    store = SharedStore(link)
    frame = store.share(bytes_of(LARGE))
    link.losing = 1
    assert frame.open()[0] == 7
    assert raised == [1]
    link.losing = 2
    with pytest.raises(OSError, match="too many open files") as caught:
        frame.open()
    assert caught.value.errno == errno.EMFILE
    del frame, caught
    gc.collect()
    assert depot.nbytes == 0
    store.close()


def test_what_cannot_be_mapped_is_read(stores: Any, depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stores()
    frame = store.share(bytes_of(SMALL))

    def full(*_: object) -> memoryview:
        raise OSError(errno.ENOMEM, "too many mappings")

    monkeypatch.setattr(segments, "view", full)
    data = frame.open()
    assert data == bytes_of(SMALL)
    data[0] = 1
    del frame
    assert depot.nbytes == 0, "a copy holds nothing"


def test_a_refusal_is_an_error_of_the_system(depot: Depot) -> None:
    class Refusing(LocalDepotLink):
        def call(self, request: DepotRequest, fd: int | None = None) -> tuple[DepotReply, int | None]:
            if fd is not None:
                os.close(fd)
            return Refused(errno.EMFILE, "no descriptor left"), None

    store = SharedStore(Refusing(depot))
    for nbytes in (SMALL, LARGE):
        with pytest.raises(OSError, match="no descriptor left") as caught:
            store.share(bytes_of(nbytes))
        assert caught.value.errno == errno.EMFILE
    store.close()


def test_on_a_new_connection_the_arenas_of_the_old_one_are_not_used(depot: Depot) -> None:
    class Breaking(LocalDepotLink):
        def reconnect(self) -> None:
            self._holder = depot.join()
            self.connections += 1

    link = Breaking(depot)
    store = SharedStore(link)
    before = store.share(bytes_of(SMALL))
    link.reconnect()
    after = store.share(bytes_of(SMALL, 9))
    assert depot.segments == 2
    assert (before.open()[0], after.open()[0]) == (7, 9)
    del before, after
    store.close()
    depot.close()


def test_an_interrupt_while_an_arena_is_filled_leaves_nothing(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(mmap.mmap):
        def __setitem__(self, *_: Any) -> None:
            raise KeyboardInterrupt

    real = segments.writable

    def writable(nbytes: int) -> tuple[int, mmap.mmap]:
        fd, mapping = real(nbytes)
        mapping.close()
        return fd, Interrupted(-1, nbytes)

    monkeypatch.setattr(segments, "writable", writable)
    store = SharedStore(LocalDepotLink(depot))
    with pytest.raises(KeyboardInterrupt):
        store.share(bytes_of(SMALL))
    assert (len(depot), depot.segments) == (0, 0)
    store.close()


def test_views_that_live_until_the_interpreter_ends_make_no_noise() -> None:
    script = """
import sys
from nbcluster.store.depot import Depot
from nbcluster.store.depot_links import LocalDepotLink
from nbcluster.store.shared import SharedStore
store = SharedStore(LocalDepotLink(Depot()))
frame = store.share(memoryview(bytes(9 << 20)))
sys.kept = view = frame.open()
class Cycle: pass
cycle = Cycle(); cycle.self = cycle; cycle.view = frame.open()
import nbcluster.store.segments; nbcluster.store.segments.kept = frame.open()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_who_closes_while_others_share_waits_for_no_answer(stores: Any, depot: Depot) -> None:
    store = stores()
    ready, stop = threading.Barrier(2), threading.Event()

    def share() -> None:
        ready.wait()
        try:
            while not stop.is_set():
                store.share(bytes_of(SMALL))
        except CommClosedError:
            pass

    thread = threading.Thread(target=share)
    thread.start()
    ready.wait()
    store.close()
    thread.join()
    assert (len(depot), depot.segments) == (0, 0)
