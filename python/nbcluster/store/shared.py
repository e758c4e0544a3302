"""What one process of a cluster shares with the others, and sees of what they share.

    share(bytes) ──▶ Frame ──▶ in a message, a few bytes ──▶ Frame.open() ──▶ the same memory, mapped copy-on-write

Large pieces get a segment of their own, which is filled again when nobody sees it any more, if that is soon: see
``kept``. Smaller ones are put into arenas, so that the number of descriptors is bounded by the bytes that are shared,
not by the number of results.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from itertools import count

from nbcluster.errors import CommClosedError, SharedDataGoneError
from nbcluster.protocol.fingerprints import Fingerprint
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.serialize import SHARE_MIN
from nbcluster.protocol.sharing import (
    UNUSED_MOST,
    BlobId,
    DepotReply,
    DepotRequest,
    Gone,
    Open,
    Opened,
    Publish,
    Published,
    Refused,
    SegmentId,
    Tidy,
    Unused,
)
from nbcluster.store import kept, segments
from nbcluster.store.arena import Arena
from nbcluster.store.arrivals import Arrival
from nbcluster.store.blobs import Held, Known, Lost
from nbcluster.store.depot_links import DepotLink, LocalDepotLink
from nbcluster.store.filling import Look, fill
from nbcluster.store.kept import KeptSegments
from nbcluster.store.large_pages import Filler

logger = logging.getLogger(__name__)

ALONE_MIN = 8 << 20
"""Bytes from which on a blob has a segment to itself."""

ARENA_SIZE = 32 << 20


class SharedStore:
    """A process's way to the shared memory of one cluster. May be used from any thread.

    Args:
        link: to the depot.
        keep: have every frame that arrives hold its blob for as long as the frame lives: for the scheduler's process,
            and only there. Others may rely on the scheduler.
        refill: keep large segments of one's own for a little while to fill them again: for clients, which share one
            after the other. Of many workers together each would keep some, and none could use another's.
        clock: seconds, from anywhere.

    Example:
        >>> from nbcluster.store.depot import Depot
        >>> from nbcluster.store.depot_links import LocalDepotLink
        >>> store = SharedStore(LocalDepotLink(Depot()))
        >>> frame = store.share(memoryview(bytes(4_000_000)))
        >>> view = frame.open()
        >>> view[0] = 1
        >>> frame.open()[0]
        0
    """

    def __init__(
        self,
        link: DepotLink,
        *,
        keep: bool = False,
        refill: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._refill = refill
        self._clock = clock
        self._keep = keep
        self._lock = threading.Lock()
        self._arenas: dict[SegmentId, _ArenaSegment] = {}
        self._kept = KeptSegments()
        self._done: list[SegmentId] = []
        """Those that are kept no longer: the depot has yet to be told."""
        self._scarce = False
        """Memory is, as far as the depot has told."""
        self._connection = 0
        """That to which arenas and kept segments belong."""
        self._pid = os.getpid()
        self._alive: set[int] = set()
        """Views and frames that hold a blob."""
        self._numbers = count()
        self._getpid, self._is_finalizing = os.getpid, sys.is_finalizing  # modules die before the last views do
        self._closed = False
        self.copied_bytes = 0
        """Bytes that were copied into shared memory by this process."""

    def __repr__(self) -> str:
        return f"<SharedStore with {len(self._arenas)} arenas, {self.copied_bytes} B copied>"

    # --- giving ---

    def share(self, data: memoryview, named: bool = False) -> Frame:
        """Copy bytes into shared memory. The blob is held as long as the frame, or a copy of it anywhere, lives.

        Args:
            data: the bytes.
            named: hash them on the way, while they are at hand; the frame knows the fingerprint then.

        Raises:
            OSError: there is no memory, or no descriptor.
            CommError: the depot is gone.
        """
        if self._closed:
            raise CommClosedError("this process's link to the cluster is closed: nothing can be shared any more")
        flat = data if data.ndim == 1 and data.format == "B" else data.cast("B")
        hashing = Fingerprint() if named else None
        if flat.nbytes >= ALONE_MIN:
            published = self._publish_alone(flat, hashing.add if hashing else None)
        else:
            if hashing is not None:
                hashing.add(0, flat)
            published = self._publish_in_arena(flat)
        self.copied_bytes += flat.nbytes
        frame = Frame(None, shared=Held(self, published.blob, flat.nbytes, untold=True))
        if hashing is not None:
            frame.fingerprint = hashing.digest()
        return frame

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

    def _publish_alone(self, data: memoryview, look: Look | None) -> Published:
        if not self._refill or data.nbytes > kept.SIZE_MOST:
            return self._publish(Publish(data.nbytes), segments.sealed(data, look))
        again = self._take_kept(data.nbytes)
        if again is not None:
            return self._publish_again(*again, data, look)
        fd, filler = segments.refillable(data, look)
        return self._publish_refillable(fd, filler)

    def _publish_refillable(self, fd: int, filler: Filler) -> Published:
        """Publish a new segment for its first blob; keep the filler for the next, if the depot agrees."""
        connection = self._link.connections or 1
        try:
            published = self._publish(Publish(filler.nbytes, again=filler.lasting), fd)
        except BaseException:
            filler.close()
            raise
        with self._lock:
            self._check_connection()
            if published.again and not self._closed and connection == self._connection:
                self._kept.add(published.segment, filler)
            else:
                filler.close()
                if published.again:
                    self._done.append(published.segment)
        return published

    def _take_kept(self, nbytes: int) -> tuple[SegmentId, Filler] | None:
        with self._lock:
            self._check_connection()
            if not self._kept:
                return None
            self._reclaim()
            taken = self._kept.take(nbytes)
            self._give_back_if_scarce()
            return taken

    def _publish_again(self, number: SegmentId, filler: Filler, data: memoryview, look: Look | None) -> Published:
        try:
            fill(filler, data, look)
        except BaseException:
            with self._lock:
                self._forget_kept(number)
            raise
        return self._publish_kept(number, data.nbytes)

    def _publish_kept(self, number: SegmentId, nbytes: int) -> Published:
        try:
            return self._publish(Publish(nbytes, 0, number), None)
        except BaseException:
            with self._lock:
                self._forget_kept(number)
            raise

    def _forget_kept(self, number: SegmentId) -> None:
        """What is in it now is nothing."""
        if number in self._kept:  # else the depot has forgotten us, and we it
            self._kept.drop(number)
            self._done.append(number)

    # --- what arrives ---

    def expect(self, nbytes: int) -> Arrival | None:
        """Memory for so many bytes that a link is about to read, to be settled or given up; None: share them then.

        Raises:
            OSError: there is no memory, or no descriptor.
            CommError: the depot is gone.
        """
        if self._closed or nbytes < ALONE_MIN:
            return None
        again = self._take_kept(nbytes) if nbytes <= kept.SIZE_MOST else None
        if again is not None:
            number, filler = again
            return Arrival(filler, nbytes, None, number)
        fd, filler = segments.unfilled(nbytes)
        if filler.lasting:
            return Arrival(filler, nbytes, fd, None)
        os.close(fd)
        return None

    def settle(self, arrival: Arrival) -> Frame:
        """All of it has arrived: from now on others may see it. Held as what :meth:`share` returns.

        Raises:
            OSError: there is no room for it any more.
            CommError: the depot is gone.
        """
        arrival.complete()
        fd, arrival.fd = arrival.fd, None
        if fd is not None:
            published = self._publish_refillable(segments.finished(fd, arrival.filler), arrival.filler)
        else:
            assert arrival.number is not None
            published = self._publish_kept(arrival.number, arrival.nbytes)
        return Frame(None, shared=Held(self, published.blob, arrival.nbytes, untold=True))

    def give_up(self, arrival: Arrival) -> None:
        """It will not arrive. Never waits."""
        fd, arrival.fd = arrival.fd, None
        if fd is not None:
            os.close(fd)
        elif arrival.number is not None:
            with self._lock:
                self._forget_kept(arrival.number)

    def withdraw(self, blobs: list[BlobId]) -> None:
        """The scheduler will not read of these, unless it has by now: they are kept for it no longer. Never waits."""
        for blob in blobs:
            self._link.release(blob, True)

    def _publish_in_arena(self, data: memoryview) -> Published:
        with self._lock:
            if self._closed:
                raise CommClosedError("this process's link to the cluster is closed: nothing can be shared any more")
            arena, offset = self._reserve(data.nbytes)
            try:
                for start in range(0, data.nbytes, segments.PIECE):
                    piece = data[start : start + segments.PIECE]
                    arena.mapping[offset + start : offset + start + piece.nbytes] = piece
                segments.let_go(arena.mapping, offset, data.nbytes)
                fd, arena.fd = arena.fd, None
                published = self._publish(Publish(data.nbytes, offset, arena.number, arena=True), fd)
            except BaseException:
                arena.ranges.free(offset)
                arena.close()
                raise
            arena.number = published.segment
            self._arenas[published.segment] = arena
            self._connection = self._link.connections
            return published

    def _reserve(self, nbytes: int) -> tuple[_ArenaSegment, int]:
        """A range that is free: in an arena, one that has become free there, or in a new one."""
        self._check_connection()
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

    def _check_connection(self) -> None:
        if self._connection != self._link.connections:  # the depot knows all this as another process's, which is gone
            self._arenas.clear()
            self._kept.clear()
            self._done.clear()
            self._connection = self._link.connections

    def _allocate(self, nbytes: int) -> tuple[_ArenaSegment, int] | None:
        for arena in self._arenas.values():
            offset = arena.ranges.allocate(nbytes)
            if offset is not None:
                return arena, offset
        return None

    def _publish(self, request: Publish, fd: int | None) -> Published:
        reply, _ = self._ask(request, fd)
        assert isinstance(reply, Published)
        return reply

    def _ask(self, request: DepotRequest, fd: int | None = None) -> tuple[DepotReply, int | None]:
        reply, received = self._link.call(request, fd)
        if isinstance(reply, Refused):
            raise OSError(reply.errno, reply.reason)
        return reply, received

    # --- taking ---

    def adopt(self, blob: BlobId, nbytes: int) -> Frame:
        """The frame of a blob that a message told of."""
        if self._keep:
            assert isinstance(self._link, LocalDepotLink)
            held = self._link.adopt(blob)
            return Frame(None, shared=Held(self, blob, nbytes) if held else Lost(self, blob, nbytes))
        return Frame(None, shared=Known(self, blob, nbytes))

    def open(self, blob: BlobId, nbytes: int) -> memoryview:
        """Map a blob, copy-on-write; it is held as long as there is a view of it.

        Where it cannot be mapped it is read.

        Raises:
            SharedDataGoneError: nobody held it any more.
            CommError: the depot is gone.
            OSError: there is no descriptor left.
        """
        opened, fd = self._open(blob, nbytes)
        if fd is None:
            segments.allow_many_descriptors()
            opened, fd = self._open(blob, nbytes)
        if fd is None:
            raise OSError(errno.EMFILE, f"too many open files to see {nbytes} bytes of shared data; see ulimit -n")
        number = self.hold()
        try:
            return segments.view(fd, opened.offset, opened.nbytes, lambda: self.let_go(number, blob))
        except OSError as error:
            logger.warning("Could not map %d bytes, which are read instead: %s", nbytes, str(error))
            data = segments.read(fd, opened.offset, opened.nbytes)
            self.let_go(number, blob)
            return data
        except BaseException:
            self.let_go(number, blob)
            raise
        finally:
            os.close(fd)

    def _open(self, blob: BlobId, nbytes: int) -> tuple[Opened, int | None]:
        """Ask for a blob. What comes without a descriptor is not held."""
        reply, fd = self._ask(Open(blob))
        if isinstance(reply, Gone):
            raise SharedDataGoneError(f"the shared data {blob} ({nbytes} bytes) is gone: nobody wanted it any more")
        assert isinstance(reply, Opened)
        if fd is None:
            self._link.release(blob, False)
        return reply, fd

    def hold(self) -> int:
        """One more frame holds a blob. Returns a number for :meth:`let_go`."""
        number = next(self._numbers)
        self._alive.add(number)
        return number

    def let_go(self, number: int, blob: BlobId, *, untold: bool = False) -> None:
        """A view or a frame has died, wherever that happened: this never waits."""
        if self._is_finalizing() or self._pid != self._getpid():
            return  # the depot will notice; or it is a forked child's copy, and the parent's lives
        self._alive.discard(number)
        self._link.release(blob, untold)
        if self._closed and not self._alive:
            self._link.close()

    # --- house-keeping ---

    @property
    def untidy(self) -> bool:
        """True if :meth:`tidy` might find something to do."""
        return bool(self._arenas or self._kept or self._done)

    def tidy(self) -> None:
        """Give back what nobody uses any more. To be called now and then; costs nothing when nothing is shared.

        Raises:
            CommError: the depot is gone.
        """
        self._link.flush()
        if self.untidy and self._lock.acquire(blocking=False):
            try:
                self._check_connection()
                self._reclaim()
                empty = [number for number, arena in self._arenas.items() if arena.ranges.empty]
                for number in empty:
                    del self._arenas[number]
                self._done += [*empty, *self._kept.expired(self._clock())]
                self._give_back_if_scarce()
                if self._done:
                    self._reclaim()
            finally:
                self._lock.release()

    def _reclaim(self) -> None:
        """Ask what may be used again, and tell what is not needed for that."""
        while True:
            done = self._done[:UNUSED_MOST]
            reply, _ = self._ask(Tidy(done))
            del self._done[: len(done)]
            assert isinstance(reply, Unused)
            self._scarce = reply.scarce
            for number, offset in reply.ranges:
                if (arena := self._arenas.get(number)) is not None:
                    arena.ranges.free(offset)
                else:
                    self._kept.free(number, self._clock())
            if len(reply.ranges) < UNUSED_MOST:
                return

    def _give_back_if_scarce(self) -> None:
        """Keep nothing for later while others are short of memory."""
        unused = self._kept.drop_unused() if self._scarce else []
        if unused:
            self._done += unused
            self._reclaim()

    def close(self) -> None:
        """Share no more. What is mapped or was shared here is held as long as anybody here does. Idempotent."""
        if self._pid != os.getpid():
            return  # it is the parent's
        self._closed = True
        with self._lock:
            self._check_connection()
            self._done += [*self._arenas, *self._kept.clear()]
            self._arenas.clear()
            if self._alive and self._done:  # the link stays, and with it what the depot has
                self._link.done(self._done)
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

    def close(self) -> None:
        """Close the descriptor, if nobody else was given it."""
        fd, self.fd = self.fd, None
        if fd is not None:
            os.close(fd)
