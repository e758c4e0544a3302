"""How far the tasks of each function are: one row per prefix, each a bar of five parts.

A scheduler counts completions since its start, but a person who runs the same cell five times wants to see the fifth
run from 0 to 100 %. So a prefix has *rounds*: one begins when there is work to do again after there was none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nbcluster.dashboard.columns import FAILED, Bars, Columns
from nbcluster.dashboard.text import display, format_count, format_duration
from nbcluster.snapshot import PrefixView, TaskCounts

MOST_ROWS = 8

PARTS = ("in memory", "released", "failed", "processing", "waiting")
"""From left to right. "Released" tasks finished and their results are no longer wanted."""

ALPHAS = (1.0, 0.62, 1.0, 0.34, 0.0)
"""How strong the function's colour is in each part."""


@dataclass(frozen=True)
class Round:
    """One prefix in its present round: how many tasks are in each part."""

    name: str
    parts: tuple[int, int, int, int, int]
    mean_duration: float | None

    @property
    def total(self) -> int:
        """All tasks of the round."""
        return sum(self.parts)

    @property
    def finished(self) -> int:
        """Tasks that will not run again: with a result, or failed."""
        return sum(self.parts[:3])

    @property
    def pending(self) -> bool:
        """True while there is work to do."""
        return self.finished < self.total


class PrefixProgress:
    """Follows all prefixes through their rounds."""

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._prefixes: list[PrefixView] = []
        self._before: dict[str, TaskCounts] = {}
        """What each prefix had when its present round began."""
        self._idle: set[str] = set()

    def update(self, prefixes: Sequence[PrefixView]) -> None:
        """Take the latest counts."""
        for prefix in prefixes:
            if _pending(prefix.counts) == 0:
                self._idle.add(prefix.name)
            elif prefix.name in self._idle:
                self._idle.discard(prefix.name)
                earlier = next((p.counts for p in self._prefixes if p.name == prefix.name), TaskCounts())
                self._before[prefix.name] = earlier
        self._prefixes = list(prefixes)

    def rounds(self) -> list[Round]:
        """Every prefix that has or had tasks, in the scheduler's order."""
        found = (self._round(prefix) for prefix in self._prefixes)
        return [one for one in found if one.total]

    def bars(self, hues: Mapping[str, int]) -> Bars:
        """The columns of the plot: a rectangle per part, widths as shares of the prefix's total."""
        rounds = self.rounds()
        shown = self._choose(rounds)
        names = ("y", "left", "right", "hue", "hatch", "alpha", "task", "state", "took")
        columns: Columns = {name: [] for name in names}
        for y, one in enumerate(shown):
            done = 0
            for name, count, alpha in zip(PARTS, one.parts, ALPHAS, strict=True):
                if count:
                    took = f"{format_duration(one.mean_duration)} on average" if one.mean_duration else ""
                    columns["y"].append(y)
                    columns["left"].append(done / one.total)
                    columns["right"].append((done + count) / one.total)
                    columns["hue"].append(FAILED if name == "failed" else hues[one.name])
                    columns["hatch"].append("/" if name == "failed" else " ")
                    columns["alpha"].append(alpha)
                    columns["task"].append(display(one.name))
                    columns["state"].append(f"{format_count(count)} of {format_count(one.total)} {name}")
                    columns["took"].append(took)
                done += count
        labels = [display(one.name, limit=40) for one in shown]
        texts = [_count(one) for one in shown]
        return Bars(columns, labels, _caption(rounds, len(rounds) - len(shown)), texts)

    def _round(self, prefix: PrefixView) -> Round:
        counts = prefix.counts
        before = self._before.get(prefix.name, TaskCounts())
        finished = max(0, counts.done - before.done)
        memory = min(counts.memory, finished)
        failed = max(0, counts.erred - before.erred)
        waiting = counts.waiting + counts.queued + counts.no_worker
        parts = (memory, finished - memory, failed, counts.processing, waiting)
        return Round(prefix.name, parts, prefix.mean_duration)

    def _choose(self, rounds: list[Round]) -> list[Round]:
        """The rows that fit: those with work to do first, then the latest."""
        if len(rounds) <= self._most_rows:
            return rounds
        ranked = sorted(range(len(rounds)), key=lambda i: (rounds[i].pending, i), reverse=True)
        return [rounds[i] for i in sorted(ranked[: self._most_rows])]


def _pending(counts: TaskCounts) -> int:
    return counts.waiting + counts.queued + counts.no_worker + counts.processing


def _count(one: Round) -> str:
    text = f"{format_count(one.finished)} / {format_count(one.total)}"
    return f"{text}, {format_count(one.parts[2])} failed" if one.parts[2] else text


def _caption(rounds: Sequence[Round], hidden: int) -> str:
    if not rounds:
        return ""
    finished = sum(one.finished for one in rounds)
    total = sum(one.total for one in rounds)
    failed = sum(one.parts[2] for one in rounds)
    caption = f"{format_count(finished)} of {format_count(total)} done"
    if failed:
        caption += f" · {format_count(failed)} failed"
    return f"{caption} · {hidden} functions not shown" if hidden else caption
