from __future__ import annotations

import errno
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest

from nbcluster.client.large_arguments import REMEMBERED, LargeArguments
from nbcluster.client.submission import Batch, options
from nbcluster.protocol.payload import Frame
from nbcluster.protocol.serialize import FRAME_MIN, SHARE_MIN, load_call
from nbcluster.store.depot import Depot
from nbcluster.store.depot_links import LocalDepotLink
from nbcluster.store.shared import SharedStore

MIB = 1 << 20


@pytest.fixture
def store() -> Iterator[SharedStore]:
    depot = Depot()
    store = SharedStore(LocalDepotLink(depot))
    yield store
    store.close()
    depot.close()


def new_batch(store: SharedStore, pure: bool = True) -> Batch:
    return Batch(max, options(), pure, store.share)


def calls(batch: Batch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What the workers would see."""
    message = batch.message()
    return [
        load_call(arguments, message.frames.get(index, []), {}) for index, arguments in enumerate(message.arguments)
    ]


@pytest.mark.parametrize("pure", [True, False])
def test_an_array_in_many_calls_is_copied_once_and_arrives_writable_in_each(store: SharedStore, pure: bool) -> None:
    array, batch = np.arange(MIB), new_batch(store, pure)
    keys = {batch.add((index, array), {}) for index in range(50)}
    assert len(keys) == 50
    assert store.copied_bytes == array.nbytes
    for (_, seen), _ in calls(batch):
        assert (seen == array).all()
        seen[0] = -1


def test_keyword_arguments_and_those_in_containers_too(store: SharedStore) -> None:
    array, batch = np.arange(MIB), new_batch(store)
    for index in range(5):
        batch.add((index,), {"array": array, "more": [{"deep": array}]})
    assert store.copied_bytes == array.nbytes
    assert all((kwargs["more"][0]["deep"] == array).all() for _, kwargs in calls(batch))


def test_what_is_in_one_call_twice_is_one_buffer_there(store: SharedStore) -> None:
    array, batch = np.arange(MIB), new_batch(store)
    batch.add((array, array), {"again": array})
    assert store.copied_bytes == array.nbytes


def test_a_data_frame_is_shared_by_its_columns(store: SharedStore) -> None:
    table = pd.DataFrame({"a": np.arange(MIB), "b": np.arange(MIB) / 2})
    batch = new_batch(store)
    for index in range(4):
        batch.add((index, table), {})
    assert table.memory_usage(index=False).sum() <= store.copied_bytes <= 1.01 * table.memory_usage().sum()
    pd.testing.assert_frame_equal(calls(batch)[3][0][1], table)


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_bytes_are_shared_once_too(store: SharedStore, kind: type) -> None:
    data, batch = kind(b"x" * 2 * MIB), new_batch(store)
    for index in range(4):
        batch.add((index, data), {})
    assert store.copied_bytes == len(data)
    assert all(type(seen) is kind and seen == data for (_, seen), _ in calls(batch))


def test_parts_of_an_array_are_not_taken_for_one_another(store: SharedStore) -> None:
    array, batch = np.arange(4 * MIB), new_batch(store)
    parts = [array[:MIB], array[MIB : 2 * MIB], array[: 2 * MIB], array[::2][:MIB]]
    for part in parts:
        batch.add((part,), {})
    for ((seen,), _), part in zip(calls(batch), parts, strict=True):
        assert (seen == part).all()


def test_an_array_that_was_changed_between_calls_is_shared_as_it_is_now(store: SharedStore) -> None:
    array = np.zeros(MIB)
    first, second = new_batch(store), new_batch(store)
    before = first.add((array,), {})
    array[:] = 1
    after = second.add((array,), {})
    assert before != after
    assert (calls(first)[0][0][0] == 0).all()
    assert (calls(second)[0][0][0] == 1).all()


@pytest.mark.parametrize("nbytes", [2 * MIB, 20 * MIB])
def test_a_call_is_named_alike_whether_its_data_is_shared_or_sent(store: SharedStore, nbytes: int) -> None:
    data = np.arange(nbytes // 8)
    key = new_batch(store).add((data, 5), {})
    assert key == Batch(max, options(), True).add((data, 5), {})
    data[-1] = 0
    assert key != new_batch(store).add((data, 5), {})
    assert new_batch(store, pure=False).add((data, 5), {}) != new_batch(store, pure=False).add((data, 5), {})


def test_arrays_that_come_and_go_are_not_taken_for_those_whose_place_they_take(store: SharedStore) -> None:
    batch = new_batch(store)
    for value in range(2 * REMEMBERED):
        batch.add((np.full(SHARE_MIN, value % 100, np.uint8),), {})
        if value % 10 == 9:
            seen = calls(batch)
            assert [int(args[0][0]) for args, _ in seen] == [v % 100 for v in range(value - 9, value + 1)]


def test_small_buffers_are_sent(store: SharedStore) -> None:
    batch = new_batch(store)
    batch.add((np.zeros(FRAME_MIN, np.uint8), np.zeros(SHARE_MIN - 1, np.uint8)), {})
    assert store.copied_bytes == 0
    assert not any(frame.shared for frame in batch.message().frames[0])


def test_a_frame_that_is_shared_already_is_left_alone(store: SharedStore) -> None:
    frame = store.share(memoryview(bytes(MIB)))
    large = LargeArguments(store.share)
    assert large.share(frame) is frame
    assert large.recall([frame])[0] is frame


def test_what_cannot_be_shared_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    def full(_: memoryview, named: bool) -> Frame:
        raise OSError(errno.EMFILE, "no descriptor left")

    array = np.arange(MIB)
    batch = Batch(max, options(), True, full)
    batch.add((array,), {})
    array[:] = 0
    assert (calls(batch)[0][0][0] == np.arange(MIB)).all()
    assert "no descriptor left" in caplog.text


SLICES = """
import pickle, sys
from nbcluster.client.large_arguments import LargeArguments
from nbcluster.protocol.payload import Frame
large = LargeArguments(lambda data, named: Frame(bytearray(data)))
data = bytearray(b"a" * 2_000_000 + b"b" * 2_000_000)
for start in (0, 2_000_000):
    frames = [Frame(pickle.PickleBuffer(memoryview(data)[start : start + 2_000_000]).raw())]
    [frame] = [large.share(frame) for frame in large.recall(frames)]
    assert frame.buffer[:1] == data[start : start + 1], start
whole = bytes(2_000_000)
large.share(Frame(memoryview(whole)))
assert large.recall([Frame(memoryview(whole))])[0].buffer is not None
assert type(large.recall([Frame(memoryview(whole))])[0].buffer) is bytearray
assert "numpy" not in sys.modules
"""


def test_without_numpy_parts_of_a_buffer_are_not_taken_for_one_another() -> None:
    done = subprocess.run([sys.executable, "-c", SLICES], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_read_only_array_arrives_as_any_other(store: SharedStore) -> None:
    array, batch = np.arange(MIB), new_batch(store)
    array.flags.writeable = False
    batch.add((array,), {})
    assert pickle.loads(pickle.dumps(array)).flags.writeable
    assert (calls(batch)[0][0][0] == array).all()
