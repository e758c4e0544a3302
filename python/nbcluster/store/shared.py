"""What one process of a cluster shares with the others, and sees of what they share.

    share(bytes) ──▶ Frame ──▶ in a message, a few bytes ──▶ Frame.open() ──▶ the same memory, mapped copy-on-write

Large pieces get a segment of their own, filled once and sealed for good. Smaller ones are put into arenas, so that the
number of descriptors is bounded by the bytes that are shared, not by the number of results.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Sequence
from itertools import count
from typing import Protocol

from nbcluster.errors import CommClosedError, SharedDataGoneError
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.serialize import SHARE_MIN
from nbcluster.protocol.sharing import (
    BlobId,
    DepotReply,
    DepotRequest,
    Gone,
    Open,
    Opened,
    Publish,
    Published,
    Release,
    SegmentId,
    Tidy,
    Unused,
)
from nbcluster.store import segments
from nbcluster.store.arena import Arena
from nbcluster.store.depot import Depot

ALONE_MIN = 8 << 20
"""Bytes from which on a blob has a segment to itself."""

ARENA_SIZE = 32 << 20


class DepotLink(Protocol):
    """How to reach the depot. May be used from any thread."""

    def call(self, request: DepotRequest, fd: int | None = None) -> tuple[DepotReply, int | None]:
        """Ask; both descriptors are, afterwards, the receiver's.

        Raises:
            CommError: the depot is gone.
        """

    def post(self, release: Release) -> bool:
        """Tell, without waiting. False if that cannot be done just now."""

    def close(self) -> None:
        """Let go of everything. Idempotent."""


class LocalDepotLink:
    """To a depot in this very process.

    Args:
        depot: the depot.
        direct: what is shared reaches the scheduler as the very frame that holds it, not as a message about it.
    """

    def __init__(self, depot: Depot, *, direct: bool = True) -> None:
        self._depot = depot
        self._direct = direct
        self._holder = depot.join()

    def call(self, request: DepotRequest, fd: int | None = None) -> tuple[DepotReply, int | None]:
        """Ask."""
        reply, sent = self._depot.answer(self._holder, request, fd)
        if self._direct and isinstance(reply, Published):
            self._depot.arrived(reply.blob)
        assert reply is not None
        return reply, sent

    def post(self, release: Release) -> bool:
        """Tell."""
        self._depot.answer(self._holder, release, None)
        return True

    def adopt(self, blob: BlobId) -> bool:
        """Hold a blob that a message told of."""
        return self._depot.adopt(self._holder, blob)

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        self._depot.leave(self._holder)


_depots: dict[str, Depot] = {}


def announce(name: str, depot: Depot) -> None:
    """The depot that others reach by this name is in this process."""
    _depots[name] = depot


def withdraw(name: str) -> None:
    """It no longer is. Idempotent."""
    _depots.pop(name, None)


def link_within(name: str, *, direct: bool) -> LocalDepotLink | None:
    """A link to the depot of this name if that is in this process; ``direct`` as for the link."""
    depot = _depots.get(name)
    return None if depot is None else LocalDepotLink(depot, direct=direct)


class SharedStore:
    """A process's way to the shared memory of one cluster. May be used from any thread.

    Args:
        link: to the depot.
        keep: have every frame that arrives hold its blob for as long as the frame lives: for the scheduler's process,
            and only there. Others may rely on the scheduler.

    Example:
        >>> store = SharedStore(LocalDepotLink(Depot()))
        >>> frame = store.share(memoryview(bytes(4_000_000)))
        >>> view = frame.open()
        >>> view[0] = 1
        >>> frame.open()[0]
        0
    """

    def __init__(self, link: DepotLink, *, keep: bool = False) -> None:
        self._link = link
        self._keep = keep
        self._lock = threading.Lock()
        self._arenas: dict[SegmentId, _ArenaSegment] = {}
        self._released: deque[tuple[BlobId, bool]] = deque()
        self._pid = os.getpid()
        self._alive: set[int] = set()
        """Views and frames that hold a blob."""
        self._numbers = count()
        self._closed = False
        self.copied_bytes = 0
        """Bytes that were copied into shared memory by this process."""

    def __repr__(self) -> str:
        return f"<SharedStore with {len(self._arenas)} arenas, {self.copied_bytes} B copied>"

    # --- giving ---

    def share(self, data: memoryview) -> Frame:
        """Copy bytes into shared memory. The blob is held as long as the frame, or a copy of it anywhere, lives.

        Raises:
            OSError: there is no memory, or no descriptor.
            CommError: the depot is gone.
        """
        if self._closed:
            raise CommClosedError("this process's link to the cluster is closed: nothing can be shared any more")
        flat = data if data.ndim == 1 and data.format == "B" else data.cast("B")
        published = self._publish_alone(flat) if flat.nbytes >= ALONE_MIN else self._publish_in_arena(flat)
        self.copied_bytes += flat.nbytes
        return Frame(None, shared=_Held(self, published.blob, flat.nbytes, untold=True))

    def share_payload(self, payload: Payload) -> Payload:
        """Share what is large in it. The same payload, if nothing is."""
        if not any(map(self.is_worth_it, payload.frames)):
            return payload
        share, worth = self.share, self.is_worth_it
        frames = tuple(share(memoryview(f.open())) if worth(f) else f for f in payload.frames)
        return Payload(payload.data, frames)

    @staticmethod
    def is_worth_it(frame: Frame) -> bool:
        """True for a large buffer that is not shared yet."""
        return frame.buffer is not None and frame.nbytes >= SHARE_MIN

    def _publish_alone(self, data: memoryview) -> Published:
        return self._publish(Publish(data.nbytes), segments.sealed(data))

    def _publish_in_arena(self, data: memoryview) -> Published:
        with self._lock:
            arena, offset = self._reserve(data.nbytes)
            try:
                for start in range(0, data.nbytes, segments.PIECE):
                    piece = data[start : start + segments.PIECE]
                    arena.mapping[offset + start : offset + start + piece.nbytes] = piece
                fd, arena.fd = arena.fd, None
                published = self._publish(Publish(data.nbytes, offset, arena.number, arena=True), fd)
            except BaseException:
                arena.ranges.free(offset)
                raise
            arena.number = published.segment
            self._arenas[published.segment] = arena
            return published

    def _reserve(self, nbytes: int) -> tuple[_ArenaSegment, int]:
        """A range that is free: in an arena, one that has become free there, or in a new one."""
        reserved = self._allocate(nbytes)
        if reserved is None and self._arenas:
            self._reclaim()
            reserved = self._allocate(nbytes)
        if reserved is None:
            arena = _ArenaSegment()
            offset = arena.ranges.allocate(nbytes)
            assert offset is not None
            reserved = arena, offset
        return reserved

    def _allocate(self, nbytes: int) -> tuple[_ArenaSegment, int] | None:
        for arena in self._arenas.values():
            offset = arena.ranges.allocate(nbytes)
            if offset is not None:
                return arena, offset
        return None

    def _publish(self, request: Publish, fd: int | None) -> Published:
        reply, _ = self._link.call(request, fd)
        assert isinstance(reply, Published)
        return reply

    # --- taking ---

    def adopt(self, blob: BlobId, nbytes: int) -> Frame:
        """The frame of a blob that a message told of."""
        if self._keep:
            assert isinstance(self._link, LocalDepotLink)
            if self._link.adopt(blob):
                return Frame(None, shared=_Held(self, blob, nbytes))
        return Frame(None, shared=_Known(self, blob, nbytes))

    def open(self, blob: BlobId, nbytes: int) -> memoryview:
        """Map a blob, copy-on-write; it is held as long as there is a view of it.

        Raises:
            SharedDataGoneError: nobody held it any more.
            CommError: the depot is gone.
        """
        reply, fd = self._link.call(Open(blob))
        if isinstance(reply, Gone) or fd is None:
            raise SharedDataGoneError(f"the shared data {blob} ({nbytes} bytes) is gone: nobody wanted it any more")
        assert isinstance(reply, Opened)
        number = self.hold()
        try:
            return segments.view(fd, reply.offset, reply.nbytes, lambda: self.let_go(number, blob))
        except BaseException:
            self.let_go(number, blob)
            raise
        finally:
            os.close(fd)

    def hold(self) -> int:
        """One more frame holds a blob. Returns a number for :meth:`let_go`."""
        number = next(self._numbers)
        self._alive.add(number)
        return number

    def let_go(self, number: int, blob: BlobId, *, untold: bool = False) -> None:
        """A view or a frame has died, wherever that happened: this never waits."""
        if self._pid != os.getpid():
            return  # a forked child's copy of it; the parent's lives
        self._alive.discard(number)
        self._released.append((blob, untold))
        self._flush()
        if self._closed and not self._alive:
            self._link.close()

    def _flush(self) -> None:
        released = self._released
        while released:
            batch: list[tuple[BlobId, bool]] = []
            with contextlib.suppress(IndexError):  # another thread does the same
                while len(batch) < _RELEASES:
                    batch.append(released.popleft())
            message = Release([blob for blob, _ in batch], [blob for blob, untold in batch if untold])
            if batch and not self._link.post(message):
                released.extend(batch)
                return

    # --- house-keeping ---

    @property
    def untidy(self) -> bool:
        """True if :meth:`tidy` might find something to do."""
        return bool(self._released or self._arenas)

    def tidy(self) -> None:
        """Give back what nobody uses any more. To be called now and then; costs nothing when nothing is shared.

        Raises:
            CommError: the depot is gone.
        """
        self._flush()
        if self._arenas and self._lock.acquire(blocking=False):
            try:
                self._reclaim()
                empty = [number for number, arena in self._arenas.items() if arena.ranges.empty]
                for number in empty:
                    del self._arenas[number]
                if empty:
                    self._reclaim(empty)
            finally:
                self._lock.release()

    def _reclaim(self, closed: Sequence[SegmentId] = ()) -> None:
        reply, _ = self._link.call(Tidy(list(closed)))
        assert isinstance(reply, Unused)
        for number, offset in reply.ranges:
            if (arena := self._arenas.get(number)) is not None:
                arena.ranges.free(offset)

    def close(self) -> None:
        """Share no more. What is mapped or was shared here is held as long as anybody here does. Idempotent."""
        with self._lock:
            self._closed = True
            self._arenas.clear()
        if not self._alive:
            self._link.close()


class _ArenaSegment:
    """An arena with its memory, and until it is published its descriptor."""

    __slots__ = ("fd", "mapping", "number", "ranges")

    def __init__(self) -> None:
        self.fd: int | None
        self.fd, self.mapping = segments.writable(ARENA_SIZE)
        self.number: SegmentId | None = None
        self.ranges = Arena(ARENA_SIZE)


class _Known:
    """A blob that somebody else holds."""

    __slots__ = ("_blob", "_store", "nbytes")

    def __init__(self, store: SharedStore, blob: BlobId, nbytes: int) -> None:
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


class _Held(_Known):
    """A blob that this process holds; ``untold``: the scheduler has yet to be told."""

    __slots__ = ("_number", "_untold")

    def __init__(self, store: SharedStore, blob: BlobId, nbytes: int, *, untold: bool = False) -> None:
        super().__init__(store, blob, nbytes)
        self._untold = untold
        self._number = store.hold()

    def name(self) -> BlobId:
        """What it is called in a message."""
        self._untold = False
        return self._blob

    def __del__(self) -> None:
        self._store.let_go(self._number, self._blob, untold=self._untold)


_RELEASES = 1000
"""Blobs in one message."""
