from __future__ import annotations

import pytest

from nbcluster.protocol.fingerprints import PIECE, Fingerprint, fingerprint

SIZES = [0, 5, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 7]


@pytest.mark.parametrize("nbytes", SIZES)
def test_one_byte_more_or_another_one_makes_another_fingerprint(nbytes: int) -> None:
    data = bytearray(nbytes)
    first = fingerprint(data)
    assert len(first) == 16
    assert fingerprint(bytes(data)) == fingerprint(memoryview(data)) == first
    data.append(0)
    assert fingerprint(data) != first
    for changed in {0, nbytes}:
        data[changed] = 1
        assert fingerprint(data) != first
        data[changed] = 0


@pytest.mark.parametrize("nbytes", SIZES[1:])
def test_pieces_may_come_in_any_order(nbytes: int) -> None:
    data = memoryview(bytes(range(256)) * (nbytes // 256 + 1))[:nbytes]
    hashing = Fingerprint()
    for start in reversed(range(0, nbytes, PIECE)):
        hashing.add(start, data[start : start + PIECE])
    assert hashing.digest() == fingerprint(data)
