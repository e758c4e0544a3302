from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator

import pytest

from nbcluster.protocol.fingerprints import PIECE
from nbcluster.store import filling, large_pages
from nbcluster.store.filling import fill
from nbcluster.store.large_pages import Filler

MIB = 1 << 20
LARGE = memoryview(bytes(range(251)) * (9 * PIECE // 251))
"""Enough for several threads."""


@pytest.fixture(autouse=True)
def four_processors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(filling, "processors", lambda: 4)
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def filled(data: memoryview, look: filling.Look | None = None) -> bytes:
    fd = os.memfd_create("nbcluster")
    try:
        os.ftruncate(fd, data.nbytes)
        filler = Filler(fd, data.nbytes)
        fill(filler, data, look)
        filler.close()
        return b"".join(os.pread(fd, PIECE, start) for start in range(0, data.nbytes, PIECE))
    finally:
        os.close(fd)


@pytest.mark.parametrize("nbytes", [1, MIB, 2 * MIB, 3 * MIB, PIECE - 1, PIECE, PIECE + 1, LARGE.nbytes])
@pytest.mark.parametrize("large", [True, False])
def test_all_is_there_with_large_pages_and_without(monkeypatch: pytest.MonkeyPatch, nbytes: int, large: bool) -> None:
    if not large:
        monkeypatch.setattr(large_pages, "_libc", lambda: None)
    assert filled(LARGE[:nbytes]) == LARGE[:nbytes]


def test_every_piece_is_looked_at_once() -> None:
    seen: list[tuple[int, memoryview]] = []
    filled(LARGE, lambda start, piece: seen.append((start, piece)))
    seen.sort(key=lambda one: one[0])
    assert [start for start, _ in seen] == list(range(0, LARGE.nbytes, PIECE))
    assert b"".join(piece for _, piece in seen) == LARGE


def test_several_threads_do_it_and_wait_for_none_that_is_slow() -> None:
    met: dict[int, int] = {}
    both = threading.Barrier(2)

    def look(start: int, piece: memoryview) -> None:
        first = threading.get_ident() not in met
        met[threading.get_ident()] = met.get(threading.get_ident(), 0) + 1
        if first:
            both.wait(30)

    filled(LARGE, look)
    assert len(met) == 2
    assert sum(met.values()) == 9


def test_without_a_second_thread_one_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert filled(LARGE) == LARGE


@pytest.mark.parametrize("place", ["here", "there"])
def test_an_error_in_any_thread_is_the_callers(place: str) -> None:
    both = threading.Barrier(2)
    caller = threading.get_ident()

    def look(start: int, piece: memoryview) -> None:
        if start <= PIECE:
            both.wait(30)
        if (threading.get_ident() == caller) == (place == "here"):
            raise OSError(errno.ENOSPC, "no memory")

    with pytest.raises(OSError, match="no memory"):
        filled(LARGE, look)
