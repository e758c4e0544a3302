"""What happened to tasks, as far back as is kept: for those who ask, and for plugins."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from nbcluster.types import Key

State = int
Transition = tuple[float, Key, State, State, str]
"""What happened to a key: when, from which state to which, at whose instigation. A bare tuple, for speed."""


class _Many(NamedTuple):
    """The same happened to many keys at once; nearly always nobody ever asks."""

    when: float
    keys: Sequence[Key]
    states: tuple[State, ...]
    stimulus: str


class Story:
    """The latest transitions, in order.

    Args:
        length: how many are kept, at most.
    """

    __slots__ = ("_count", "_entries", "_length", "fresh")

    def __init__(self, length: int) -> None:
        self._length = length
        self._entries: deque[Transition | _Many] = deque()
        self._count = 0
        self.fresh: list[Transition] | None = None
        """Gets all that is noted, if somebody wants to be told of it."""

    def note(self, line: Transition) -> None:
        """One more transition."""
        if self.fresh is not None:
            self.fresh.append(line)
        if self._length:
            self._entries.append(line)
            self._count += 1
            if self._count > self._length:
                self._shorten()

    def note_all(self, when: float, keys: Sequence[Key], states: tuple[State, ...], stimulus: str) -> None:
        """Each of these keys passed through the same states. What ``keys`` holds must not be changed any more."""
        if not keys:
            return
        entry = _Many(when, keys, states, stimulus)
        if self.fresh is not None:
            self.fresh += _lines(entry)
        if self._length:
            self._entries.append(entry)
            self._count += _transitions(entry)
            if self._count > self._length:
                self._shorten()

    def _shorten(self) -> None:
        while self._count > self._length:
            self._count -= _transitions(self._entries.popleft())

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Transition]:
        for entry in self._entries:
            if isinstance(entry, _Many):
                yield from _lines(entry)
            else:
                yield entry


def _transitions(entry: Transition | _Many) -> int:
    return len(entry.keys) * (len(entry.states) - 1) if isinstance(entry, _Many) else 1


def _lines(entry: _Many) -> Iterator[Transition]:
    when, keys, states, stimulus = entry
    for key in keys:
        for before, after in pairwise(states):
            yield when, key, before, after, stimulus
