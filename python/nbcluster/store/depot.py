"""The depot: which blobs there are, where, and who holds them. One for each cluster, in the scheduler's process.

It has a descriptor of every segment, so what was published survives the process that published it. It looks into none.

A blob lives as long as anybody holds it
- its publisher, until that one lets go of it, and in any case until the scheduler has read of it;
- the scheduler, as long as any of its records tells of it;
- everybody who has mapped it, until the last view of the mapping is gone.
A process that has ended holds nothing any more; only what it published and told of is kept until the scheduler has
had the time to read of it. A range of an arena, or a large segment that is kept for its maker, is given back to that
one when its blob is dead, never before; so what anybody has mapped never changes.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from itertools import count

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
    Release,
    SegmentId,
    Tidy,
    Unused,
)

KEPT_PART = 8
"""One part in so many of what may be shared may lie in segments that are kept to be used again. While they are not in
use their memory comes on top of the limit, until their makers give it back: after a few seconds, or as soon as memory
is scarce and they hear of it."""


class Holder:
    """One process, as the depot knows it."""

    __slots__ = ("arenas", "held", "in_transit", "unused")

    def __init__(self) -> None:
        self.held: Counter[BlobId] = Counter()
        self.in_transit: set[BlobId] = set()
        """What it has published, and the scheduler has not read of yet."""
        self.arenas: set[SegmentId] = set()
        self.unused: list[tuple[SegmentId, int]] = []
        """Ranges of its arenas that it has not heard about yet."""


class _Segment:
    __slots__ = ("blobs", "fd", "kept", "maker", "open")

    def __init__(self, fd: int, maker: Holder, open: bool, kept: int = 0) -> None:
        self.fd = fd
        self.maker = maker
        self.open = open
        """More blobs may come."""
        self.kept = kept
        """Its bytes, if it is for one large blob after the other."""
        self.blobs = 0


class _Blob:
    __slots__ = ("holds", "nbytes", "offset", "segment", "sender")

    def __init__(self, segment: SegmentId, offset: int, nbytes: int, sender: Holder) -> None:
        self.segment = segment
        self.offset = offset
        self.nbytes = nbytes
        self.holds = 2  # the publisher's own, and the one until the scheduler has read of it
        self.sender: Holder | None = sender


class Depot:
    """May be called from any thread.

    Args:
        limit: bytes that may be shared; what would be more is refused.
        is_short: tells whether the machine has little memory left; asked often, so it had better not take long.

    Example:
        >>> from nbcluster.store.segments import sealed
        >>> depot = Depot()
        >>> me = depot.join()
        >>> published, _ = depot.answer(me, Publish(5), sealed(memoryview(b"bytes")))
        >>> depot.nbytes
        5
        >>> depot.leave(me)
        >>> depot.forget(me)
        >>> depot.nbytes
        0
    """

    def __init__(self, limit: int = sys.maxsize, is_short: Callable[[], bool] = lambda: False) -> None:
        self._limit = limit
        self._is_short = is_short
        self.nbytes = 0
        """Bytes of all blobs, each counted once, whoever has mapped it."""
        self._kept = 0
        """Bytes of all segments that are used again as a whole, whether or not there is a blob in them just now."""
        self._idle = 0
        """Bytes of those in which there is none."""
        self._blobs: dict[BlobId, _Blob] = {}
        self._segments: dict[SegmentId, _Segment] = {}
        self._numbers = count(1)
        self._lock = threading.RLock()  # a view may die, and be released, anywhere, so also in here
        self._closed = False

    def __repr__(self) -> str:
        return f"<Depot of {len(self._blobs)} blobs, {self.nbytes} B, in {len(self._segments)} segments>"

    def __len__(self) -> int:
        return len(self._blobs)

    @property
    def segments(self) -> int:
        """How many descriptors it has."""
        return len(self._segments)

    @property
    def scarce(self) -> bool:
        """True if what is shared, and what is kept for more, comes near to the limit, or the machine is short."""
        return self.nbytes + self._idle > self._limit - self._limit // KEPT_PART or self._is_short()

    # --- who there is ---

    def join(self) -> Holder:
        """One more process."""
        return Holder()

    def leave(self, holder: Holder) -> None:
        """A process has ended: it sees nothing any more. Idempotent."""
        with self._lock:
            held, holder.held = holder.held, Counter()  # first: views may die while this goes on
            for blob, times in held.items():
                self._let_go(blob, times)
            arenas, holder.arenas = holder.arenas, set()
            for segment in arenas:
                self._close_arena(segment)

    def forget(self, holder: Holder) -> None:
        """What it told of before it left has been read. Idempotent."""
        with self._lock:
            for blob in list(holder.in_transit):
                self._arrived(blob)

    def close(self) -> None:
        """Let go of everything. What is mapped somewhere lives until it is not. Idempotent."""
        with self._lock:
            self._closed = True
            segments = list(self._segments.values())
            self._segments.clear()
            self._blobs.clear()
            self.nbytes = 0
        for segment in segments:
            os.close(segment.fd)

    # --- what they ask ---

    def answer(self, holder: Holder, request: DepotRequest, fd: int | None) -> tuple[DepotReply | None, int | None]:
        """Do what a process asks.

        Args:
            holder: the process.
            request: what it asks.
            fd: the descriptor that came with it; from now on the depot's.

        Returns:
            The answer, and a descriptor that goes with it, which is the asker's.

        Raises:
            ValueError: no honest process asks that, or the depot is closed.
        """
        try:
            with self._lock:
                if isinstance(request, Publish):
                    new, fd = fd, None
                    return self._publish(holder, request, new), None
                if isinstance(request, Open):
                    return self._open(holder, request.blob)
                if isinstance(request, Release):
                    self._release(holder, request.blobs)
                    for blob in holder.in_transit.intersection(request.untold):
                        self._arrived(blob)
                    self._close_arenas(holder, request.closed)
                    return None, None
                return self._tidy(holder, request), None
        finally:
            if fd is not None:
                os.close(fd)

    def adopt(self, holder: Holder, blob: BlobId) -> bool:
        """The scheduler has read of a blob, and holds it from now on. False if it is gone."""
        with self._lock:
            record = self._blobs.get(blob)
            if record is None:
                return False
            self._hold(holder, blob, record)
            self._arrived(blob)
            return True

    def arrived(self, blob: BlobId) -> None:
        """The scheduler knows of a blob."""
        with self._lock:
            self._arrived(blob)

    def _publish(self, holder: Holder, request: Publish, fd: int | None) -> Published | Refused:
        if self._closed:
            if fd is not None:
                os.close(fd)
            raise ValueError("the depot is closed")
        if self.nbytes + request.nbytes > self._limit:
            if fd is not None:
                os.close(fd)
            return Refused(errno.ENOMEM, f"{self.nbytes} bytes are shared already, and {self._limit} may be")
        if request.segment is None:
            if fd is None:  # it was sent, and there was no room for it here
                return Refused(errno.EMFILE, "the cluster's process has no descriptor left")
            number = next(self._numbers)
            fits = self._kept + request.nbytes <= self._limit // KEPT_PART
            again = request.again and fits and not self.scarce
            segment = self._segments[number] = _Segment(
                fd, holder, request.arena or again, request.nbytes if again else 0
            )
            self._kept += segment.kept
            if segment.open:
                holder.arenas.add(number)
        else:
            number = request.segment
            if fd is not None:
                os.close(fd)
            if number not in holder.arenas:
                raise ValueError(f"segment {number} is none of this process's arenas")
            segment = self._segments[number]
            if not segment.blobs:
                self._idle -= segment.kept
        blob = next(self._numbers)
        self._blobs[blob] = _Blob(number, request.offset, request.nbytes, holder)
        self.nbytes += request.nbytes
        segment.blobs += 1
        holder.held[blob] += 1
        holder.in_transit.add(blob)
        return Published(blob, number, segment.kept > 0)

    def _open(self, holder: Holder, blob: BlobId) -> tuple[DepotReply, int | None]:
        record = self._blobs.get(blob)
        if record is None:
            return Gone(), None
        try:
            fd = os.dup(self._segments[record.segment].fd)
        except OSError as error:
            return Refused(error.errno or errno.EMFILE, f"the cluster's process has no descriptor left: {error}"), None
        self._hold(holder, blob, record)
        return Opened(record.offset, record.nbytes), fd

    def _release(self, holder: Holder, blobs: list[BlobId]) -> None:
        for blob in blobs:
            times = holder.held.get(blob, 0)
            if not times:
                continue  # it was given up with everything, when the depot was closed
            if times == 1:
                del holder.held[blob]
            else:
                holder.held[blob] = times - 1
            self._let_go(blob, 1)

    def _tidy(self, holder: Holder, request: Tidy) -> Unused:
        self._close_arenas(holder, request.closed)
        told = holder.unused[:UNUSED_MOST]
        del holder.unused[: len(told)]
        return Unused(told, self.scarce)

    # --- holds ---

    def _hold(self, holder: Holder, blob: BlobId, record: _Blob) -> None:
        record.holds += 1
        holder.held[blob] += 1

    def _arrived(self, blob: BlobId) -> None:
        record = self._blobs.get(blob)
        if record is not None and record.sender is not None:
            record.sender.in_transit.discard(blob)
            record.sender = None
            self._let_go(blob, 1)

    def _let_go(self, blob: BlobId, times: int) -> None:
        record = self._blobs.get(blob)
        if record is None:
            return
        record.holds -= times
        if record.holds:
            return
        del self._blobs[blob]
        self.nbytes -= record.nbytes
        segment = self._segments[record.segment]
        segment.blobs -= 1
        if not segment.blobs:
            self._idle += segment.kept
        if segment.open:
            segment.maker.unused.append((record.segment, record.offset))
        elif not segment.blobs:
            self._drop(record.segment)

    def _close_arenas(self, holder: Holder, numbers: list[SegmentId]) -> None:
        for number in numbers:
            if number in holder.arenas:
                holder.arenas.remove(number)
                self._close_arena(number)

    def _close_arena(self, number: SegmentId) -> None:
        segment = self._segments.get(number)
        if segment is not None:
            segment.open = False
            if not segment.blobs:
                self._drop(number)

    def _drop(self, number: SegmentId) -> None:
        segment = self._segments.pop(number)
        self._kept -= segment.kept
        self._idle -= segment.kept
        os.close(segment.fd)
