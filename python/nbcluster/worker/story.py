"""What happened to runs, as a worker notes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nbcluster import story
from nbcluster.types import Key, RunId

RunState = int
Line = tuple[float, Key, RunId, RunState, RunState]
"""A ``StoryLine``, bare."""


class StoryLine(NamedTuple):
    """One transition of one run."""

    time: float
    key: Key
    run_id: RunId
    before: RunState
    after: RunState


class _Passed:
    """The same happened to many runs at once."""

    __slots__ = ("_after", "_before", "_keys", "_run_ids", "_when")

    def __init__(
        self, when: float, keys: Sequence[Key], run_ids: Sequence[RunId], before: RunState, after: RunState
    ) -> None:
        self._when = when
        self._keys = keys
        self._run_ids = run_ids
        self._before = before
        self._after = after

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Line]:
        for key, run_id in zip(self._keys, self._run_ids, strict=True):
            yield self._when, key, run_id, self._before, self._after


class Story(story.Story[Line]):
    """The latest transitions, in order."""

    __slots__ = ()

    def note_all(
        self, when: float, keys: Sequence[Key], run_ids: Sequence[RunId], before: RunState, after: RunState
    ) -> None:
        """The same happened to all of these runs. Neither sequence may be changed any more."""
        if len(keys) == 1:
            self.note((when, keys[0], run_ids[0], before, after))
        elif keys:
            self.note_many(_Passed(when, keys, run_ids, before, after))

    def of(self, *names: Key) -> list[StoryLine]:
        """What happened to the runs of these keys, as far back as the story goes."""
        wanted = frozenset(names)
        return [StoryLine(*line) for line in self if line[1] in wanted]
