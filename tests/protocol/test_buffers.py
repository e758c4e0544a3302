from __future__ import annotations

import mmap
from typing import Any

import pytest

from nbcluster.protocol import buffers
from nbcluster.protocol.buffers import allocate, copied

MIB = 1 << 20
SIZES = [0, 5, MIB, 4 * MIB - 1, 4 * MIB, 5 * MIB + 3]


@pytest.mark.parametrize("nbytes", SIZES)
def test_a_copy_has_the_same_bytes_and_is_written_to_by_itself(nbytes: int) -> None:
    data = bytearray(b"abc" * (nbytes // 3 + 1))[:nbytes]
    for source in (data, bytes(data), memoryview(data), memoryview(bytes(data))):
        copy = memoryview(copied(source))
        assert copy == data
        if nbytes:
            copy[-1] = 0
            assert data[-1] != 0


@pytest.mark.parametrize("nbytes", SIZES)
def test_memory_is_of_the_size_that_was_asked_for_and_empty(nbytes: int) -> None:
    memory = allocate(nbytes)
    assert memory.nbytes == nbytes
    assert memory == bytes(nbytes)
    assert not memory.readonly


def test_a_copy_for_which_there_is_no_room_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> mmap.mmap:
        raise OSError("no memory")

    monkeypatch.setattr(buffers.mmap, "mmap", full)  # type: ignore[attr-defined]
    with pytest.raises(MemoryError, match="a copy of 5242880 bytes"):
        copied(bytes(5 * MIB))
