"""Pieces of memory of the sizes at which shared memory behaves differently."""

from __future__ import annotations

from nbcluster.store.shared import ALONE_MIN

MIB = 1 << 20
SMALL, LARGE = 1 * MIB, ALONE_MIN
"""One is put into an arena, the other gets a segment."""


def bytes_of(nbytes: int, value: int = 7) -> memoryview:
    return memoryview(bytes([value]) * nbytes)
