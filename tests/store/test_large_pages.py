from __future__ import annotations

import gc
import mmap
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbcluster.store import large_pages, segments
from nbcluster.store.filling import fill
from nbcluster.store.large_pages import SIZE, Filler, aligned
from tests.support.open_files import open_files, shared_segments

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs memfd, and reads /proc")

DATA = memoryview(bytes(range(256)) * (9 * SIZE // 512))
"""Four large pages and a half."""


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    gc.collect()
    before = open_files(), shared_segments()
    yield
    gc.collect()
    assert (open_files(), shared_segments()) == before


@pytest.fixture
def fd() -> Iterator[int]:
    """An empty file for the data."""
    fd = os.memfd_create("nbcluster", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, DATA.nbytes)
    yield fd
    os.close(fd)


def kernel_has_them() -> bool:
    fd = segments.sealed(DATA)
    before = large_pages_mapped()
    view = segments.view(fd, 0, DATA.nbytes, nothing)
    view[0] + view[SIZE]
    os.close(fd)
    return large_pages_mapped() > before


def large_pages_mapped() -> int:
    """How many of shared memory this process has mapped as such."""
    smaps = Path("/proc/self/smaps").read_text()
    return sum(int(kib) for kib in re.findall(r"^(?:Shmem|File)PmdMapped: +(\d+) kB$", smaps, re.MULTILINE)) // 2048


def nothing() -> None: ...


needs_large_pages = pytest.mark.skipif(
    sys.platform != "linux" or not kernel_has_them(), reason="this kernel has no large pages for shared memory"
)


@needs_large_pages
def test_a_segment_is_in_large_pages_for_all_who_map_it() -> None:
    fd = segments.sealed(DATA)
    before = large_pages_mapped()
    view = segments.view(fd, 0, DATA.nbytes, nothing)
    assert view == DATA
    assert large_pages_mapped() - before == 4
    view[5] = 9
    other = segments.view(fd, 0, DATA.nbytes, nothing)
    assert (view[5], other[5]) == (9, 5), "what is written is still seen by nobody else"
    os.close(fd)


@needs_large_pages
def test_who_fills_it_does_not_count_it_as_its_own(fd: int) -> None:
    filler = Filler(fd, DATA.nbytes)
    before = large_pages_mapped()
    filler.begin(DATA)
    filler.put(0, 2 * SIZE)
    filler.put(2 * SIZE, DATA.nbytes)
    assert large_pages_mapped() == before
    filler.close()
    assert os.pread(fd, DATA.nbytes, 0) == DATA


@needs_large_pages
def test_if_it_takes_too_long_to_find_large_pages_the_rest_has_none(fd: int) -> None:
    now = [100.0]
    filler = Filler(fd, DATA.nbytes, lambda: now[0])
    filler.begin(DATA)
    filler.put(0, SIZE)
    now[0] += DATA.nbytes / large_pages.SLOWEST
    filler.put(SIZE, DATA.nbytes)
    filler.close()
    before = large_pages_mapped()
    view = segments.view(fd, 0, DATA.nbytes, nothing)
    assert view == DATA
    assert large_pages_mapped() - before == 1


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("nbytes", [DATA.nbytes, 3 * SIZE, 3 * SIZE - 5, 7])
def test_a_sealed_segment_is_filled_again_by_its_maker_alone(
    monkeypatch: pytest.MonkeyPatch, large: bool, nbytes: int
) -> None:
    if not large:
        monkeypatch.setattr(large_pages, "_MADV_COLLAPSE", 9999)
    fd, filler = segments.refillable(DATA)
    view = segments.view(fd, 0, DATA.nbytes, nothing)
    assert view == DATA
    fill(filler, memoryview(b"x" * nbytes))
    assert view[:nbytes] == b"x" * nbytes
    assert view[nbytes:] == DATA[nbytes:]
    with pytest.raises(PermissionError):
        mmap.mmap(fd, SIZE)
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"y", 0)
    os.close(fd)


@pytest.mark.parametrize("missing", ["the C library", "the kernel's part", "room for a mapping"])
def test_where_something_is_missing_the_data_is_the_same(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    if missing == "the C library":
        monkeypatch.setattr(large_pages, "_libc", lambda: None)
    elif missing == "the kernel's part":
        monkeypatch.setattr(large_pages, "_MADV_COLLAPSE", 9999)
    else:
        monkeypatch.setattr(large_pages, "_MAP_NORESERVE", mmap.MAP_SHARED)  # not both
    fd = segments.sealed(DATA)
    view = segments.view(fd, 0, DATA.nbytes, nothing)
    assert view == DATA
    view[0] = 1
    assert os.pread(fd, 1, 0) == b"\0"
    os.close(fd)


def test_a_view_takes_no_descriptor() -> None:
    fd = segments.sealed(DATA)
    before = open_files()
    views = [segments.view(fd, 0, DATA.nbytes, nothing) for _ in range(5)]
    assert open_files() == before
    assert all(view == DATA for view in views)
    os.close(fd)


def test_a_piece_that_begins_within_a_large_page_is_mapped_as_ever(fd: int) -> None:
    assert aligned(mmap.mmap, fd, segments.PAGE, SIZE) is None
    os.pwrite(fd, DATA, 0)
    view = segments.view(fd, segments.PAGE, 2 * SIZE, nothing)
    assert view == DATA[segments.PAGE : segments.PAGE + 2 * SIZE]
    assert segments.view(fd, SIZE, 2 * SIZE, nothing) == DATA[SIZE : 3 * SIZE]
