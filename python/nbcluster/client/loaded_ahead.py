"""Results that a caller's thread unpickles while it waits for others.

    loop     ── results arrive ──▶ states ── a portion more is done ──▶ nudge
    caller   waits ──────────────────────────────▶ load() ──▶ waits ──▶ load() ──▶ …

If they come about in their order, no more than a portion is left to be done after the last of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbcluster.client.states import FINISHED, FutureState
from nbcluster.protocol.serialize import load


class LoadedAhead:
    """The values of the first of some states, in their order.

    Args:
        states: which are awaited.

    Attributes:
        values: of ``states[:len(values)]``. It only grows.
    """

    PORTION = 256
    """States that are done between two looks. Each look costs two changes of threads."""

    __slots__ = ("_ended", "_states", "values")

    def __init__(self, states: Sequence[FutureState]) -> None:
        self._states = states
        self._ended = False
        self.values: list[Any] = []

    @property
    def rest(self) -> Sequence[FutureState]:
        """The states whose values are not loaded."""
        return self._states[len(self.values) :]

    def load(self) -> None:
        """Load what is there, up to the first that is not, or that is large: that may have to be asked for."""
        states, values = self._states, self.values
        for position in range(len(values), len(states)):  # no slice: of very many, it would be made very often
            state = states[position]
            payload = state.payload
            if self._ended or payload is None or payload.frames or state.status != FINISHED:
                return
            try:
                values.append(load(payload))
            except Exception:
                self._ended = True  # who collects the rest meets the same, and maybe an earlier error before that
                return

    def end(self) -> None:
        """Load nothing more: all are done, or one has failed, which is to be known at once. From any thread."""
        self._ended = True
