"""A link for simulations: first in, first out; a message waits until somebody has it delivered."""

from __future__ import annotations

from collections import deque
from typing import Any


class FakeLink:
    """One direction between two parties."""

    __slots__ = ("_messages",)

    def __init__(self) -> None:
        self._messages: deque[Any] = deque()

    def __len__(self) -> int:
        return len(self._messages)

    def send(self, *messages: Any) -> None:
        """Put messages on their way."""
        self._messages += messages

    def take(self, count: int) -> list[Any]:
        """The oldest messages, at most so many: what the other end reads at once."""
        return [self._messages.popleft() for _ in range(min(count, len(self._messages)))]

    def cut(self) -> None:
        """What is under way is lost."""
        self._messages.clear()
