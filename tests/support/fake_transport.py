"""A transport that goes nowhere: it keeps what is written, and is paused, resumed and closed by the test."""

from __future__ import annotations

import asyncio
from typing import Any

from nbcluster.protocol.payload import Buffer


class FakeTransport(asyncio.Transport):
    """Takes bytes up to ``room``, then tells its protocol to pause."""

    def __init__(self, room: int = 1 << 60) -> None:
        super().__init__()
        self.room = room
        self.written: list[bytes] = []
        self.pending = 0
        self.reading = True
        self.closing = self.aborted = False
        self.protocol: Any = None

    def write(self, data: Buffer) -> None:
        self.written.append(bytes(data))
        self.pending += len(data)
        if self.pending > self.room and self.protocol is not None:
            self.protocol.pause_writing()

    def take(self) -> bytes:
        """All that was written since; then there is room again."""
        data = b"".join(self.written)
        self.written.clear()
        was_full, self.pending = self.pending > self.room, 0
        if was_full:
            self.protocol.resume_writing()
        return data

    def get_write_buffer_size(self) -> int:
        return self.pending

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True
