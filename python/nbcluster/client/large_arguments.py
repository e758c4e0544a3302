"""Large buffers among the arguments of one call to ``submit`` or ``map``: each is shared once, for all its tasks.

Only for that one call. A buffer is known by its place in memory, and what is there may be changed in place before the
next call.
"""

from __future__ import annotations

import logging
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence

from nbcluster.protocol.buffers import copied
from nbcluster.protocol.payload import Buffer, Frame
from nbcluster.protocol.serialize import SHARE_MIN

logger = logging.getLogger("nbcluster.client")

REMEMBERED = 64
"""Buffers that are kept alive so that their places cannot be taken by others; the least recently met are let go of."""


class LargeArguments:
    """The buffers of one call.

    Args:
        share: puts a buffer into shared memory; if told so, hashes it on the way.
        named: the buffers are part of a name, and need to be hashed.
    """

    def __init__(self, share: Callable[[memoryview, bool], Frame], *, named: bool = False) -> None:
        self._share = share
        self._named = named
        self._known: OrderedDict[tuple[int, int], tuple[Frame, Frame]] = OrderedDict()
        """By place: the frame as it was pickled, which keeps its memory, and the shared one."""

    def recall(self, frames: Sequence[Frame]) -> list[Frame]:
        """The same frames, with the shared one wherever a buffer was shared before."""
        return [frame if frame.nbytes < SHARE_MIN else self._recall(frame) for frame in frames]

    def share(self, frame: Frame) -> Frame:
        """Share a buffer, and remember it."""
        if frame.shared is not None or frame.buffer is None:
            return frame
        try:
            shared = self._share(memoryview(frame.buffer), self._named and frame.fingerprint is None)
        except OSError as error:  # no memory, no descriptor, no cluster: sending needs less, or says what is wrong
            logger.warning("Could not share %d bytes, which are sent instead: %s", frame.nbytes, str(error))
            return Frame(copied(frame.buffer))
        shared.fingerprint = shared.fingerprint or frame.fingerprint
        place = _place(frame.buffer)
        if place is not None:
            self._known[place] = frame, shared
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return shared

    def _recall(self, frame: Frame) -> Frame:
        if frame.buffer is None:
            return frame
        place = _place(frame.buffer)
        known = None if place is None else self._known.get(place)
        if place is None or known is None:
            return frame
        self._known.move_to_end(place)
        return known[1]


def _place(buffer: Buffer) -> tuple[int, int] | None:
    """Where a buffer is in memory, and how long; None if that cannot be told."""
    view = memoryview(buffer)
    numpy = sys.modules.get("numpy")
    if numpy is None:  # then there are no arrays
        whole = isinstance(view.obj, (bytes, bytearray)) and len(view.obj) == view.nbytes
        return (id(view.obj), view.nbytes) if whole else None
    return numpy.frombuffer(view, numpy.uint8).__array_interface__["data"][0], view.nbytes
