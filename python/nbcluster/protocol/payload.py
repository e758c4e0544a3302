"""How a Python object looks while it travels: pickled bytes, and the large buffers that go beside them.

Nobody between the one who pickled and the one who unpickles looks inside. On a wire the frames follow the
message out of band, uncopied; between processes of one host they may lie in memory that both see; in one process
(``inproc``) a payload may simply hold the live object.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from nbcluster.protocol.sharing import BlobId

Buffer = bytes | bytearray | memoryview


class SharedBuffer(Protocol):
    """Bytes in memory that the processes of one host share (``store.shared``)."""

    @property
    def nbytes(self) -> int:
        """How many they are."""

    @property
    def lost(self) -> bool:
        """True if they are known to be gone."""

    @property
    def elsewhere(self) -> bool:
        """True if this process cannot see them, but those to whom it tells their name can."""

    def name(self) -> BlobId:
        """What they are called in a message that is about to be sent."""

    def open(self) -> memoryview:
        """See them. What is written to the view stays in it."""


class SharedMemory(Protocol):
    """Where a link looks for what a message says is shared."""

    def adopt(self, blob: BlobId, nbytes: int) -> Frame:
        """The frame of a blob that has just been read of."""


class Frame:
    """One buffer that travels beside its message; or its place in shared memory; or an object that never leaves."""

    __slots__ = ("buffer", "fingerprint", "live", "shared")

    def __init__(self, buffer: Buffer | None, live: Any = None, shared: SharedBuffer | None = None) -> None:
        self.buffer = buffer
        self.live = live
        self.shared = shared
        self.fingerprint: bytes | None = None
        """A hash of the bytes, once anybody has asked for it."""

    @property
    def nbytes(self) -> int:
        """Bytes of the data; a live object has none."""
        if self.buffer is None:
            return 0 if self.shared is None else self.shared.nbytes
        return self.buffer.nbytes if isinstance(self.buffer, memoryview) else len(self.buffer)

    def open(self) -> Buffer:
        """The bytes, wherever they are.

        Raises:
            SharedDataGoneError: they were shared, and nobody held them any more.
        """
        if self.buffer is not None:
            return self.buffer
        return b"" if self.shared is None else self.shared.open()

    def __repr__(self) -> str:
        if self.shared is not None:
            return f"<Frame {self.nbytes} B, shared>"
        return f"<Frame live {type(self.live).__name__}>" if self.buffer is None else f"<Frame {self.nbytes} B>"


class Payload(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A pickled object: ``data`` is the pickle, ``frames`` its protocol-5 out-of-band buffers, in order.

    The garbage collector does not look at what cannot refer to anything of the user's: there may be a million of them.
    """

    data: bytes
    frames: tuple[Frame, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes in all."""
        frames = self.frames
        return len(self.data) + sum(frame.nbytes for frame in frames) if frames else len(self.data)

    @property
    def sent_nbytes(self) -> int:
        """Bytes that a message grows by it: what is shared is not sent."""
        frames = self.frames
        return len(self.data) + sum(0 if f.shared else f.nbytes for f in frames) if frames else len(self.data)

    @property
    def is_shared(self) -> bool:
        """True if the data, or part of it, is in shared memory."""
        frames = self.frames
        return bool(frames) and any(frame.shared is not None for frame in frames)

    @property
    def is_only_named(self) -> bool:
        """True if all large data is in shared memory: whoever keeps this keeps its name, and next to no bytes."""
        return bool(self.frames) and all(frame.shared is not None for frame in self.frames)

    @property
    def is_lost(self) -> bool:
        """True if it can never be read: what was shared of it is gone."""
        return any(frame.shared is not None and frame.shared.lost for frame in self.frames)

    def open(self) -> Payload:
        """The same, seen: what is shared stays for as long as this lives.

        Raises:
            SharedDataGoneError: some of it is gone.
        """
        frames = tuple(frame if frame.shared is None else Frame(frame.open()) for frame in self.frames)
        return Payload(self.data, frames)

    @staticmethod
    def of_live(value: Any) -> Payload:
        """Wrap an object that will be read in this very process, as it is."""
        return _LivePayload(b"", (Frame(None, value),))

    @property
    def is_live(self) -> bool:
        """True if this payload can only be read in this process."""
        return not self.data


class _LivePayload(Payload, frozen=True, array_like=True, gc=True):
    """One that holds a live object: which may hold the future of itself."""
