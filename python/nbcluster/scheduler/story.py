"""What happened to tasks, as the scheduler notes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from nbcluster import story
from nbcluster.types import Key

State = int
Transition = tuple[float, Key, State, State, str]
"""What happened to a key: when, from which state to which, at whose instigation."""


class _Passed:
    """Many keys passed through the same states at once."""

    __slots__ = ("_keys", "_states", "_stimulus", "_when")

    def __init__(self, when: float, keys: Sequence[Key], states: tuple[State, ...], stimulus: str) -> None:
        self._when = when
        self._keys = keys
        self._states = states
        self._stimulus = stimulus

    def __len__(self) -> int:
        return len(self._keys) * (len(self._states) - 1)

    def __iter__(self) -> Iterator[Transition]:
        for key in self._keys:
            for before, after in pairwise(self._states):
                yield self._when, key, before, after, self._stimulus


class Story(story.Story[Transition]):
    """The latest transitions, in order."""

    __slots__ = ()

    def note_all(self, when: float, keys: Sequence[Key], states: tuple[State, ...], stimulus: str) -> None:
        """Each of these keys passed through the same states. What ``keys`` holds must not be changed any more."""
        if len(keys) == 1:
            for before, after in pairwise(states):
                self.note((when, keys[0], before, after, stimulus))
        elif keys:
            self.note_many(_Passed(when, keys, states, stimulus))
