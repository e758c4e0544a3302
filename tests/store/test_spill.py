from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.serialize import dump, load
from nbcluster.store import spill
from nbcluster.store.depot import Depot
from nbcluster.store.depot_links import LocalDepotLink
from nbcluster.store.shared import ALONE_MIN, SharedStore
from nbcluster.store.spill import SpillError, SpillFile, SpillFolder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SpillFolder]:
    folder = SpillFolder(tmp_path / "spill")
    yield folder
    folder.close()


def files(folder: SpillFolder) -> list[Path]:
    return sorted(folder.path.iterdir()) if folder.path.exists() else []


# --- there and back ---


@pytest.mark.parametrize(
    "value",
    [
        1,
        "text",
        b"",
        b"b" * 100_000,
        bytearray(b"c" * 100_000),
        {"a": [1, (2, 3)], "b": None},
        ["large in the pickle itself"] * 100_000,
        list(range(300_000)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_written_is_what_is_read(folder: SpillFolder, value: Any) -> None:
    assert load(folder.write(dump(value)).read()) == value


def test_arrays_come_back_whole_each_time_writable_and_independent(folder: SpillFolder) -> None:
    value = {"a": np.arange(100_000), "f": np.asfortranarray(np.ones((200, 300))), "s": np.arange(100_000)[::3]}
    file = folder.write(dump(value))
    for _ in range(2):
        found = load(file.read())
        for name, array in value.items():
            assert (found[name] == array).all()
            assert found[name].flags.writeable
        found["a"][:] = 0


@pytest.fixture
def shared(depot: Depot) -> Iterator[SharedStore]:
    store = SharedStore(LocalDepotLink(depot, direct=False))
    if (arrival := store.expect(ALONE_MIN)) is None:
        pytest.skip("no memory can be mapped where its large pages are")
    store.give_up(arrival)
    yield store
    store.close()


def test_large_buffers_are_read_to_shared_memory_itself_and_small_ones_to_our_own(
    folder: SpillFolder, depot: Depot, shared: SharedStore
) -> None:
    value = {"large": np.arange(ALONE_MIN), "small": np.arange(100_000)}
    payload = folder.write(dump(value)).read(shared)
    assert [frame.shared is not None for frame in payload.frames] == [True, False]
    assert (len(depot), depot.nbytes, shared.copied_bytes) == (1, value["large"].nbytes, 0)
    found = load(payload)
    assert all((found[name] == array).all() for name, array in value.items())


def test_nothing_is_shared_of_a_file_that_was_changed(folder: SpillFolder, depot: Depot, shared: SharedStore) -> None:
    file = folder.write(dump([np.arange(ALONE_MIN), np.arange(ALONE_MIN)]))
    content = bytearray(file.path.read_bytes())
    content[-1] ^= 1
    file.path.write_bytes(content)
    with pytest.raises(SpillError, match="checksum"):
        file.read(shared)
    assert len(depot) == 0


@pytest.mark.parametrize("step", ["expect", "settle"])
def test_without_room_in_shared_memory_it_is_read_to_our_own(
    folder: SpillFolder, shared: SharedStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*args: Any) -> Any:
        raise OSError(errno.ENOSPC, "no room")

    file = folder.write(dump(np.arange(ALONE_MIN)))
    monkeypatch.setattr(shared, step, refuse)
    payload = file.read(shared)
    assert not payload.is_shared
    assert (load(payload) == np.arange(ALONE_MIN)).all()


def test_pieces_of_any_length_are_put_together(folder: SpillFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "PIECE", 7)
    frames = tuple(Frame(os.urandom(size)) for size in (0, 1, 6, 7, 8, 1000))
    payload = folder.write(Payload(b"data that is longer than seven", frames)).read()
    assert payload.data == b"data that is longer than seven"
    assert [bytes(frame.open()) for frame in payload.frames] == [frame.buffer for frame in frames]


def test_writing_copies_no_frame(folder: SpillFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.zeros(10_000_000, "u1")
    written: list[int] = []

    def write(descriptor: int, piece: Any) -> int:
        view = np.frombuffer(piece, "u1")
        if np.shares_memory(view, array):
            written.append(view.nbytes)
        return os_write(descriptor, piece)

    os_write = os.write
    monkeypatch.setattr(os, "write", write)
    folder.write(dump(array))
    assert sum(written) == array.nbytes


def test_only_the_owner_can_look_into_the_folder(folder: SpillFolder) -> None:
    file = folder.write(dump(1))
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


# --- what goes wrong ---


def damaged(file: SpillFile) -> None:
    with pytest.raises(SpillError, match=r"\d+\.spill"):
        file.read()


PAYLOAD = Payload(b"the pickle", (Frame(bytes(range(256)) * 3), Frame(b""), Frame(b"x" * 500)))
"""A pickle, a frame, an empty frame, and one more."""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(bit=st.integers(0, 8 * PAYLOAD.nbytes - 1))
def test_every_flipped_bit_is_found(folder: SpillFolder, bit: int) -> None:
    file = folder.write(PAYLOAD)
    data = bytearray(file.path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.path.write_bytes(data)
    damaged(file)


def test_a_file_cut_at_any_byte_is_found(folder: SpillFolder) -> None:
    file = folder.write(PAYLOAD)
    for size in range(PAYLOAD.nbytes - 1, -1, -1):
        os.truncate(file.path, size)
        damaged(file)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(more=st.binary(min_size=1, max_size=20))
def test_a_file_that_has_grown_is_found(folder: SpillFolder, more: bytes) -> None:
    file = folder.write(PAYLOAD)
    with file.path.open("ab") as end:
        end.write(more)
    damaged(file)


def test_a_file_in_the_place_of_another_is_found(folder: SpillFolder) -> None:
    file, other = folder.write(dump("one of them")), folder.write(dump("the others."))
    assert file.nbytes == other.nbytes
    os.replace(other.path, file.path)
    damaged(file)
    damaged(other)


def test_a_file_that_is_gone_or_no_file_is_found(folder: SpillFolder) -> None:
    file = folder.write(dump(1))
    file.path.unlink()
    damaged(file)
    file.path.mkdir()
    damaged(file)
    file.path.rmdir()


def test_a_lack_of_descriptors_is_not_taken_for_damage(folder: SpillFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder.write(dump(1))

    def no_descriptor(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", no_descriptor)
        with pytest.raises(OSError, match="Too many open files"):
            file.read()
    assert load(file.read()) == 1


def test_nothing_is_left_of_what_found_no_room(folder: SpillFolder) -> None:
    folder.write(dump("small"))
    before = files(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            folder.write(dump(np.zeros(1_000_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert set(files(folder)) <= set(before)
    assert load(folder.write(dump("as before")).read()) == "as before"


def test_a_folder_that_cannot_be_made_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        SpillFolder(tmp_path / "file" / "spill").write(dump(1))


def test_a_folder_that_somebody_removed_is_made_again(folder: SpillFolder) -> None:
    lost = folder.write(dump(1))
    lost.path.unlink()
    folder.path.rmdir()
    assert load(folder.write(dump(2)).read()) == 2
    damaged(lost)


# --- nothing remains ---


def test_nothing_is_made_before_anything_is_written(tmp_path: Path) -> None:
    folder = SpillFolder(tmp_path / "spill")
    assert not folder.path.exists()
    folder.close()
    assert not folder.path.exists()


def test_a_file_goes_with_the_last_who_holds_it(folder: SpillFolder) -> None:
    kept, file = folder.write(dump(1)), folder.write(dump(2))
    before = folder.untidy
    del file
    assert (before, folder.untidy) == (False, True)
    folder.sweep()
    assert files(folder) == [kept.path]
    assert not folder.untidy


def test_nothing_remains_after_close_and_nothing_is_written_any_more(folder: SpillFolder) -> None:
    file = folder.write(dump(1))
    folder.close()
    folder.close()
    assert not folder.path.exists()
    damaged(file)
    with pytest.raises(OSError, match="closed"):
        folder.write(dump(2))
    assert not folder.path.exists()


def test_a_write_under_way_ends_when_the_folder_is_stopped(
    folder: SpillFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(descriptor: int, piece: Any) -> int:
        folder.stop()
        return os_write(descriptor, piece)

    os_write = os.write
    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="closed"):
        folder.write(dump(np.zeros(spill.PIECE, "u1")))
    assert files(folder) == []
