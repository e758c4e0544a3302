"""Which workers an adapting cluster can do without, and since when. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import NamedTuple

from nbcluster.snapshot import WorkerView
from nbcluster.types import WorkerName

GroupOf = Callable[[WorkerView], Hashable]
"""Workers of which it says the same go together or not at all."""


class Intent(NamedTuple):
    """What several looks together say."""

    counts: dict[WorkerName, int]
    """How many looks in a row would have closed these."""
    firm: list[WorkerName]
    """Those that enough looks in a row would have closed."""


def dispensable(
    workers: Iterable[WorkerView],
    target: int,
    group_of: GroupOf | None = None,
    willing: Collection[WorkerName] | None = None,
) -> list[WorkerName]:
    """Whom to close so that ``target`` or a few more stay: who has least to do, then least data; the newest first.

    Groups of whom somebody is not ``willing`` stay.
    """
    there = list(workers)
    groups: dict[Hashable, list[WorkerView]] = {}
    for worker in there:
        groups.setdefault(worker.name if group_of is None else group_of(worker), []).append(worker)
    chosen: list[WorkerName] = []
    for group in sorted(groups.values(), key=_cost):
        if willing is not None and not all(worker.name in willing for worker in group):
            continue
        if len(there) - len(chosen) - len(group) < target:
            break
        chosen += [worker.name for worker in group]
    return chosen


def _cost(group: list[WorkerView]) -> tuple[int, int, int]:
    newest = max((worker.name for worker in group if isinstance(worker.name, int)), default=0)
    return sum(worker.processing for worker in group), sum(worker.stored for worker in group), -newest


def insist(before: Mapping[WorkerName, int], candidates: Iterable[WorkerName], wait_count: int) -> Intent:
    """Close what ``wait_count`` looks in a row name; who is not named once more begins anew."""
    counts = {name: before.get(name, 0) + 1 for name in dict.fromkeys(candidates)}
    firm = [name for name, count in counts.items() if count >= wait_count]
    return Intent({name: count for name, count in counts.items() if name not in firm}, firm)
