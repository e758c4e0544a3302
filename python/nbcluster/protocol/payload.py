"""How a Python object looks while it travels: pickled bytes, and the large buffers that go beside them.

Nobody between the one who pickled and the one who unpickles looks inside. On a wire the frames follow the
message out of band, uncopied; in one process (``inproc``) a payload may simply hold the live object.
"""

from __future__ import annotations

from typing import Any

import msgspec

Buffer = bytes | bytearray | memoryview


class Frame:
    """One buffer that travels beside its message, or one live object that never leaves the process."""

    __slots__ = ("buffer", "live")

    def __init__(self, buffer: Buffer | None, live: Any = None) -> None:
        self.buffer = buffer
        self.live = live

    @property
    def nbytes(self) -> int:
        """Bytes on the wire; a live object has none."""
        if self.buffer is None:
            return 0
        return self.buffer.nbytes if isinstance(self.buffer, memoryview) else len(self.buffer)

    def __repr__(self) -> str:
        return f"<Frame live {type(self.live).__name__}>" if self.buffer is None else f"<Frame {self.nbytes} B>"


class Payload(msgspec.Struct, frozen=True, array_like=True):
    """A pickled object: ``data`` is the pickle, ``frames`` its protocol-5 out-of-band buffers, in order."""

    data: bytes
    frames: list[Frame] = []

    @property
    def nbytes(self) -> int:
        """Bytes in all."""
        return len(self.data) + sum(frame.nbytes for frame in self.frames)

    @classmethod
    def of_live(cls, value: Any) -> Payload:
        """Wrap an object that will be read in this very process, as it is."""
        return cls(b"", [Frame(None, value)])

    @property
    def is_live(self) -> bool:
        """True if this payload can only be read in this process."""
        return not self.data
