"""Fast hashes of large data. They name it, and protect from nothing but chance.

What is large is hashed in pieces, and then their hashes are: so several threads can share the work, each with what it
reads for another reason anyway.
"""

from __future__ import annotations

from xxhash import xxh3_128_digest

from nbcluster.protocol.payload import Buffer

PIECE = 8 << 20


def fingerprint(data: Buffer) -> bytes:
    """16 bytes; equal for equal data."""
    view = memoryview(data).cast("B")
    if view.nbytes <= PIECE:
        return xxh3_128_digest(view)  # as fast as memory can be read
    hashing = Fingerprint()
    for start in range(0, view.nbytes, PIECE):
        hashing.add(start, view[start : start + PIECE])
    return hashing.digest()


class Fingerprint:
    """The same, of pieces that come in any order, from any thread.

    Example:
        >>> data = memoryview(bytes(PIECE + 1))
        >>> hashing = Fingerprint()
        >>> hashing.add(PIECE, data[PIECE:])
        >>> hashing.add(0, data[:PIECE])
        >>> hashing.digest() == fingerprint(data)
        True
    """

    def __init__(self) -> None:
        self._digests: dict[int, bytes] = {}

    def add(self, start: int, piece: memoryview) -> None:
        """A piece of ``PIECE`` bytes, or the last one, and where it begins."""
        self._digests[start] = xxh3_128_digest(piece)

    def digest(self) -> bytes:
        """Of all pieces."""
        if len(self._digests) == 1:
            return next(iter(self._digests.values()))
        return xxh3_128_digest(b"".join(digest for _, digest in sorted(self._digests.items())))
