"""Filling a new segment: in large pages where there are some, and by several threads if it is large.

Each takes the next piece when it has done one, so a processor that is busy with something else holds up nobody.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable

from nbcluster.protocol.fingerprints import PIECE
from nbcluster.store.large_pages import Filler

THREADS_MOST = 4
"""Memory is not faster for more."""

PIECES_EACH = 4
"""It takes as many for a thread to be worth its start."""

Look = Callable[[int, memoryview], None]
"""Sees a piece, and where it begins, just before it is copied: whatever it does, the bytes are read once."""


def fill(filler: Filler, data: memoryview, look: Look | None = None) -> None:
    """Write all of this to a segment.

    Args:
        filler: writes to it.
        data: what is to be in it, as bytes.
        look: sees every piece of ``PIECE`` bytes, and the rest, in some order, from several threads.

    Raises:
        OSError: there is no memory.
    """
    starts = deque(range(0, data.nbytes, PIECE))

    def work() -> None:
        while starts:
            try:
                start = starts.popleft()
            except IndexError:
                return  # another thread has it
            piece = data[start : start + PIECE]
            if look is not None:
                look(start, piece)
            filler.put(start, start + piece.nbytes)

    filler.begin(data)
    helpers = [_Helper(work) for _ in range(min(processors(), THREADS_MOST, len(starts) // PIECES_EACH) - 1)]
    try:
        for helper in helpers:
            helper.begin()
        work()
    except BaseException:
        starts.clear()
        raise
    finally:
        for helper in helpers:
            helper.end()
        filler.end()
    for helper in helpers:
        if helper.error is not None:
            raise helper.error


class _Helper:
    """One more thread that does the same work; without it the work takes longer."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self._work = work
        self._thread: threading.Thread | None = threading.Thread(target=self._run, name="nbcluster-fill", daemon=True)

    def begin(self) -> None:
        assert self._thread is not None
        try:
            self._thread.start()
        except RuntimeError:  # there are too many already
            self._thread = None

    def end(self) -> None:
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.error = error


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
