"""What happened, as far back as is kept: for those who ask, and for plugins."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar, cast

Line = TypeVar("Line", bound=tuple[Any, ...])
Line_co = TypeVar("Line_co", bound=tuple[Any, ...], covariant=True)


class Lines(Protocol[Line_co]):
    """Many lines that are made only when somebody asks: nearly always nobody does. It is no tuple."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Line_co]: ...


class Story(Generic[Line]):
    """The latest lines, in order. Each is a tuple, for speed.

    Args:
        length: how many are kept, at most.
    """

    __slots__ = ("_count", "_entries", "_length", "fresh")

    def __init__(self, length: int) -> None:
        self._length = length
        self._entries: deque[Line | Lines[Line]] = deque()
        self._count = 0
        self.fresh: list[Line] | None = None
        """Gets all that is noted, if somebody wants to be told of it."""

    def note(self, line: Line) -> None:
        """One more line."""
        if self.fresh is not None:
            self.fresh.append(line)
        if self._length:
            self._entries.append(line)
            self._count += 1
            if self._count > self._length:
                self._shorten()

    def note_many(self, lines: Lines[Line]) -> None:
        """Many lines. Nothing that they are made of may change any more."""
        if self.fresh is not None:
            self.fresh += lines
        if self._length:
            self._entries.append(lines)
            self._count += len(lines)
            if self._count > self._length:
                self._shorten()

    def _shorten(self) -> None:
        while self._count > self._length:
            entry = self._entries.popleft()
            self._count -= 1 if isinstance(entry, tuple) else len(entry)

    def latest(self, most: int) -> list[Line]:
        """The last lines, in order: so many, if there are."""
        entries: list[Line | Lines[Line]] = []
        count = 0
        for entry in reversed(self._entries):
            if count >= most:
                break
            entries.append(entry)
            count += 1 if isinstance(entry, tuple) else len(entry)
        lines: list[Line] = []
        for entry in reversed(entries):
            if isinstance(entry, tuple):
                lines.append(cast(Line, entry))
            else:
                lines += cast("Lines[Line]", entry)
        return lines[max(0, len(lines) - most) :]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Line]:
        for entry in list(self._entries):  # a thread may ask
            if isinstance(entry, tuple):
                yield cast(Line, entry)
            else:
                yield from entry
