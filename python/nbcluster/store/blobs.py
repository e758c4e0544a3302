"""What a frame knows of bytes in shared memory: their name, and whether this process holds them."""

from __future__ import annotations

from typing import Protocol

from nbcluster.protocol.sharing import BlobId


class BlobStore(Protocol):
    """Who shows blobs, and counts who holds them (``store.shared``)."""

    def open(self, blob: BlobId, nbytes: int) -> memoryview:
        """Map it, copy-on-write."""

    def hold(self) -> int:
        """One more frame holds a blob. Returns a number for :meth:`let_go`."""

    def let_go(self, number: int, blob: BlobId, *, untold: bool = False) -> None:
        """That frame has died."""


class Known:
    """A blob that somebody else holds."""

    __slots__ = ("_blob", "_store", "nbytes")
    lost = False
    elsewhere = False

    def __init__(self, store: BlobStore, blob: BlobId, nbytes: int) -> None:
        self._store = store
        self._blob = blob
        self.nbytes = nbytes

    def __repr__(self) -> str:
        return f"<blob {self._blob} of {self.nbytes} B>"

    def name(self) -> BlobId:
        """What it is called in a message."""
        return self._blob

    def open(self) -> memoryview:
        """Map it, copy-on-write."""
        return self._store.open(self._blob, self.nbytes)


class Held(Known):
    """A blob that this process holds; ``untold``: the scheduler has yet to be told."""

    __slots__ = ("_number", "_untold")

    def __init__(self, store: BlobStore, blob: BlobId, nbytes: int, *, untold: bool = False) -> None:
        super().__init__(store, blob, nbytes)
        self._untold = untold
        self._number = store.hold()

    def name(self) -> BlobId:
        """What it is called in a message."""
        self._untold = False
        return self._blob

    def __del__(self) -> None:
        self._store.let_go(self._number, self._blob, untold=self._untold)


class Lost(Known):
    """A blob that was gone before the scheduler read of it."""

    __slots__ = ()
    lost = True
