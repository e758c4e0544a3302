"""Large segments that are filled again, by the process that made them: their pages are there already.

Each holds one blob at a time. When the depot says that nobody holds the blob any more, the segment waits a little for
another one of about its size; then, or when memory is scarce, it is given back.
"""

from __future__ import annotations

from nbcluster.protocol.sharing import SegmentId
from nbcluster.store.large_pages import Filler

SIZE_MOST = 1 << 30
"""Larger ones are not kept: that much memory should not be idle, and their memory is given back at once."""

SECONDS = 2.0
"""That one is kept without a blob in it."""

WASTE = 8
"""A blob that would leave more than one part in so many of a segment unused does not go there."""


class KeptSegments:
    """Those of one process. Whoever uses it sees to it that threads take turns."""

    def __init__(self) -> None:
        self._fillers: dict[SegmentId, Filler] = {}
        self._unused: dict[SegmentId, float] = {}
        """Since when."""

    def __len__(self) -> int:
        return len(self._fillers)

    def __contains__(self, number: SegmentId) -> bool:
        return number in self._fillers

    def add(self, number: SegmentId, filler: Filler) -> None:
        """One more, with a blob in it."""
        self._fillers[number] = filler

    def free(self, number: SegmentId, now: float) -> None:
        """Its blob is dead."""
        if number in self._fillers:
            self._unused[number] = now

    def take(self, nbytes: int) -> tuple[SegmentId, Filler] | None:
        """The smallest unused one in which a blob of this size does not waste too much; it is in use from now on."""
        fitting = [
            (filler.nbytes, number)
            for number in self._unused
            if nbytes <= (filler := self._fillers[number]).nbytes <= nbytes + nbytes // WASTE
        ]
        if not fitting:
            return None
        number = min(fitting)[1]
        del self._unused[number]
        return number, self._fillers[number]

    def expired(self, now: float) -> list[SegmentId]:
        """Those that nobody wanted for a while. They are kept no longer: the depot is to be told."""
        old = [number for number, since in self._unused.items() if now - since >= SECONDS]
        for number in old:
            self.drop(number)
        return old

    def drop_unused(self) -> list[SegmentId]:
        """Keep none that is not in use: the depot is to be told."""
        numbers = list(self._unused)
        for number in numbers:
            self.drop(number)
        return numbers

    def drop(self, number: SegmentId) -> None:
        """Have it filled no more; what is in it stays for those who see it.

        It is not closed, for a thread might be filling it just now: it is gone when nobody has it.
        """
        self._unused.pop(number, None)
        self._fillers.pop(number, None)

    def clear(self) -> list[SegmentId]:
        """Keep none. Returns which they were."""
        numbers = list(self._fillers)
        self._fillers.clear()
        self._unused.clear()
        return numbers
