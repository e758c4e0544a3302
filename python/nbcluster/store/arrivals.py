"""Large buffers that arrive by wire to be shared: they are read to where they stay.

    link ── reads ──▶ Arrival.room() ── all of it is there ──▶ SharedStore.settle() ──▶ Frame, a name

Nobody sees a segment before it is settled; one whose link has ended before that is given up. Memory that was given up
or is dead is filled again if the next one comes soon: new memory is what takes most of the time.
"""

from __future__ import annotations

from nbcluster.protocol.sharing import SegmentId
from nbcluster.store.large_pages import SIZE, Filler


class Arrival:
    """A segment that a link reads to, in pieces that are made ready as they are wanted.

    Args:
        filler: of the segment.
        nbytes: how many will arrive.
        fd: of a segment that the depot does not know yet.
        number: of one that it does.
    """

    def __init__(self, filler: Filler, nbytes: int, fd: int | None, number: SegmentId | None) -> None:
        self.filler = filler
        self.nbytes = nbytes
        self.fd = fd
        self.number = number
        self.view = filler.open()[:nbytes]
        self._piece = -1

    def room(self, filled: int) -> memoryview:
        """The rest of the piece that comes next."""
        piece = filled // SIZE * SIZE
        if piece != self._piece:
            self._put_away(piece)
            self.filler.ready(piece, piece + SIZE)
            self._piece = piece
        return self.view[filled : piece + SIZE]

    def complete(self) -> None:
        """All of it is there."""
        self._put_away(self.nbytes)

    def _put_away(self, end: int) -> None:
        if self._piece >= 0:
            self.filler.written(self._piece, end)
