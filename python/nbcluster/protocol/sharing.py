"""What a process and the cluster's depot of shared memory tell each other.

A *blob* is a row of bytes that never changes, in a *segment* of shared memory. One packet carries one message and,
where it says so, one file descriptor. Every message is answered, in order, but for ``Release``.
"""

from __future__ import annotations

import msgspec

BlobId = int
"""Names a blob; never used again for another one."""

SegmentId = int
"""Names a segment; never used again for another one."""


class DepotMessage(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """What travels between a process and the depot."""


class Publish(DepotMessage, frozen=True):
    """There is a new blob, at this place. Answered by ``Published``.

    Who publishes holds it, until it is released. Beside that it is kept until the scheduler has read of it, or until
    the publisher is gone: so it may be released as soon as the message that tells of it is on its way.
    """

    nbytes: int
    offset: int = 0
    segment: SegmentId | None = None
    """One that was given before; None for a new one, whose descriptor comes with the message."""
    arena: bool = False
    """True if more blobs will be put into the new segment."""
    again: bool = False
    """True if the new segment, which is for this blob alone, could be used again for another one once it is dead."""


class Published(DepotMessage, frozen=True):
    """The answer to ``Publish``."""

    blob: BlobId
    segment: SegmentId
    again: bool = False
    """True if the segment is kept to be used again: like an arena that has room for one blob."""


class Open(DepotMessage, frozen=True):
    """Let me see this blob, and hold it until I release it. Answered by ``Opened`` or ``Gone``."""

    blob: BlobId


class Opened(DepotMessage, frozen=True):
    """The answer to ``Open``; the segment's descriptor comes with it."""

    offset: int
    nbytes: int


class Gone(DepotMessage, frozen=True):
    """Nobody held the blob any more."""


class Refused(DepotMessage, frozen=True):
    """The answer to a question that cannot be answered just now, e.g. because there is no descriptor left."""

    errno: int
    reason: str


class Release(DepotMessage, frozen=True):
    """I hold these no longer, each once for each time that it is named. Not answered."""

    blobs: list[BlobId]
    untold: list[BlobId] = []
    """Those of them that I published and never told the scheduler of: nobody will read of them any more."""
    closed: list[SegmentId] = []
    """Those of my segments that I will put nothing into any more."""


class Tidy(DepotMessage, frozen=True):
    """What has become of the arenas that I gave? ``closed`` are those that I have done with. Answered by ``Unused``."""

    closed: list[SegmentId] = []


class Unused(DepotMessage, frozen=True):
    """The ranges (segment, offset) of arenas that nobody holds any more: they may be used again.

    At most ``UNUSED_MOST`` of them; if they are as many, there may be more.
    """

    ranges: list[tuple[SegmentId, int]]
    scarce: bool = False
    """Memory is scarce: what is kept to be filled again had better be given back."""


DepotRequest = Publish | Open | Release | Tidy
DepotReply = Published | Opened | Gone | Unused | Refused

UNUSED_MOST = 2000
"""Ranges in one answer, so that it is one packet."""
