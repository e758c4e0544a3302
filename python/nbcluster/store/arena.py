"""Which ranges of an arena are free. Plain arithmetic: the memory itself is somebody else's business."""

from __future__ import annotations

from bisect import bisect_left

from nbcluster.store.segments import PAGE


class Arena:
    """Hands out ranges of ``size`` bytes, in whole pages, the first that fits.

    Example:
        >>> arena = Arena(8 * PAGE)
        >>> arena.allocate(1), arena.allocate(PAGE + 1)
        (0, 4096)
        >>> arena.free(0)
        >>> arena.allocate(5)
        0
    """

    __slots__ = ("_free", "_starts", "_used", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._starts = [0]
        self._free = {0: size}
        """Sizes of the free ranges, by their starts, which ``_starts`` has in order. No two of them touch."""
        self._used: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Arena of {self.size} B, {sum(self._used.values())} B in use>"

    @property
    def empty(self) -> bool:
        """True if nothing of it is in use."""
        return not self._used

    def allocate(self, nbytes: int) -> int | None:
        """Take a range; returns its offset, or None if there is none of that size."""
        need = max(1, -(-nbytes // PAGE)) * PAGE
        for index, start in enumerate(self._starts):
            there = self._free[start]
            if there < need:
                continue
            del self._free[start]
            if there == need:
                del self._starts[index]
            else:
                self._starts[index] = start + need
                self._free[start + need] = there - need
            self._used[start] = need
            return start
        return None

    def free(self, offset: int) -> None:
        """Give a range back.

        Raises:
            KeyError: no range that is in use begins there.
        """
        size = self._used.pop(offset)
        index = bisect_left(self._starts, offset)
        if index < len(self._starts) and self._starts[index] == offset + size:
            size += self._free.pop(self._starts.pop(index))
        if index and (before := self._starts[index - 1]) + self._free[before] == offset:
            self._free[before] += size
        else:
            self._starts.insert(index, offset)
            self._free[offset] = size
