from __future__ import annotations

import errno
import fcntl
import gc
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcluster.store import segments
from tests.support.open_files import open_files

DATA = memoryview(bytes(range(256)) * 5000)


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    gc.collect()
    before = open_files()
    yield
    gc.collect()
    assert open_files() == before


@pytest.fixture
def fd() -> Iterator[int]:
    """A sealed segment."""
    fd = segments.sealed(DATA)
    yield fd
    os.close(fd)


def nothing() -> None: ...


def test_a_sealed_segment_holds_the_bytes_and_no_more(fd: int) -> None:
    assert os.fstat(fd).st_size == DATA.nbytes
    assert segments.view(fd, 0, DATA.nbytes, nothing) == DATA


def test_nobody_can_write_to_a_sealed_segment_nor_resize_it(fd: int) -> None:
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    with pytest.raises(PermissionError):
        mmap.mmap(fd, DATA.nbytes)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 1)


def test_what_is_written_to_a_view_stays_in_it(fd: int) -> None:
    mine, other = (segments.view(fd, 0, DATA.nbytes, nothing) for _ in range(2))
    mine[:3] = b"abc"
    assert (bytes(mine[:4]), bytes(other[:4])) == (b"abc\3", b"\0\1\2\3")


def test_an_arena_is_written_by_its_maker_and_by_nobody_else() -> None:
    fd, mapping = segments.writable(1 << 20)
    view = segments.view(fd, segments.PAGE, 5, nothing)
    mapping[segments.PAGE : segments.PAGE + 5] = b"later"
    assert bytes(view) == b"later"
    with pytest.raises(PermissionError):
        mmap.mmap(fd, 1 << 20)
    os.close(fd)


def test_a_view_tells_of_its_end_once_and_not_before_the_last_look_into_it(fd: int) -> None:
    ends: list[int] = []
    view = segments.view(fd, 0, DATA.nbytes, lambda: ends.append(1))
    part = view[10:20].cast("B")
    del view
    gc.collect()
    assert not ends
    assert part[0] == 10
    del part
    gc.collect()
    assert ends == [1]


def test_a_mapping_that_could_not_be_made_tells_nothing(fd: int) -> None:
    with pytest.raises((OSError, ValueError)):
        segments.view(fd, segments.PAGE + 1, 10, lambda: pytest.fail("it was never there"))


def test_a_piece_can_be_read_instead_and_is_as_writable(fd: int) -> None:
    data = segments.read(fd, segments.PAGE, 1_200_000)
    assert data == DATA[segments.PAGE : segments.PAGE + 1_200_000]
    data[0] = 255


def test_a_kernel_that_refuses_some_seals_keeps_segments_from_being_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.fcntl

    def refuse(fd: int, what: int, seals: Any = 0) -> Any:
        if what == fcntl.F_ADD_SEALS and seals & ~(fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW):
            raise OSError(errno.EINVAL, "what is that?")
        return real(fd, what, seals)

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    fd, mapping = segments.writable(1 << 20)
    sealed = segments.sealed(DATA)
    for one in (fd, sealed):
        with pytest.raises(PermissionError):
            os.ftruncate(one, 1)
        os.close(one)
    mapping.close()


def test_without_memory_for_it_no_descriptor_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no memory")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="no memory"):
        segments.sealed(DATA)
    monkeypatch.setattr(os, "ftruncate", full)
    with pytest.raises(OSError, match="no memory"):
        segments.writable(1 << 20)


def test_what_was_shared_counts_no_longer_as_memory_of_who_wrote_it_and_is_there() -> None:
    def shared_kib() -> int:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss_Shmem"))

    fd, mapping = segments.writable(16 << 20)
    before = shared_kib()
    mapping[100 : 100 + (8 << 20)] = b"x" * (8 << 20)
    assert shared_kib() - before >= 8 << 10
    segments.let_go(mapping, 100, 8 << 20)
    assert shared_kib() - before < 100
    assert mapping[100 : 100 + (8 << 20)] == b"x" * (8 << 20)
    assert os.pread(fd, 3, 100) == b"xxx"
    os.close(fd)
