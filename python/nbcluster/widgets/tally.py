"""How far futures are: counted by group, and holding none of them. No display here."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol


class Tracked(Protocol):
    """What is asked of a future."""

    @property
    def key(self) -> str:
        """Its name on the cluster."""

    @property
    def status(self) -> str:
        """``"pending"`` until it is ``"finished"``, ``"error"``, or over for another reason."""


@dataclass
class Count:
    """The futures of one group."""

    total: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def done(self) -> int:
        """Those that are not pending."""
        return self.finished + self.failed + self.cancelled

    def text(self) -> str:
        """``"57 of 100, 2 failed"``."""
        others = [("failed", self.failed), ("cancelled", self.cancelled)]
        return ", ".join(
            [f"{self.done:,} of {self.total:,}", *(f"{count:,} {name}" for name, count in others if count)]
        )


class Tally:
    """Counts futures, and looks again when it is told to.

    It keeps weak references only: a result that nobody else wants is let go, whether its bar is shown or not;
    such a future no longer counts.

    Args:
        futures: what to count, in any containers.
        group_of: the name of a key's group.
        complete: count those that are done already, too.
    """

    def __init__(self, futures: Any, group_of: Callable[[str], str], complete: bool = True) -> None:
        self.groups: dict[str, Count] = {}
        self._pending: list[tuple[Count, weakref.ref[Tracked]]] = []
        self._began = time.monotonic()
        self._ended: float | None = None
        seen: set[int] = set()
        for future in find_tracked(futures):
            if id(future) in seen or not (complete or future.status == "pending"):
                continue
            seen.add(id(future))
            count = self.groups.setdefault(group_of(future.key), Count())
            count.total += 1
            self._pending.append((count, weakref.ref(future)))
        self.look()

    def look(self) -> bool:
        """Count again; True when all are done."""
        self._pending = [(count, reference) for count, reference in self._pending if not _settle(count, reference())]
        if self.done and self._ended is None:
            self._ended = time.monotonic()
        return self.done

    @property
    def done(self) -> bool:
        """Whether nothing is pending."""
        return not self._pending

    @property
    def seconds(self) -> float:
        """How long it has taken, or took."""
        return (time.monotonic() if self._ended is None else self._ended) - self._began

    @property
    def all(self) -> Count:
        """All groups together."""
        counts = self.groups.values()
        return Count(
            total=sum(count.total for count in counts),
            finished=sum(count.finished for count in counts),
            failed=sum(count.failed for count in counts),
            cancelled=sum(count.cancelled for count in counts),
        )


def _settle(count: Count, future: Tracked | None) -> bool:
    """Count a future that is pending no longer; False if it is."""
    if future is None:
        count.total -= 1
        return True
    status = future.status
    if status == "pending":
        return False
    if status == "finished":
        count.finished += 1
    elif status == "error":
        count.failed += 1
    else:
        count.cancelled += 1
    return True


def find_tracked(value: Any) -> Iterator[Tracked]:
    """All futures in nested lists, tuples, sets, dictionaries, iterators and persisted collections of dask's.

    Raises:
        TypeError: something else is among them.
    """
    if hasattr(value, "key") and hasattr(value, "status"):
        yield value
    elif hasattr(type(value), "__dask_graph__"):
        parts = [part for part in dict(value.__dask_graph__() or {}).values() if hasattr(part, "status")]
        if not parts:
            raise TypeError(f"progress() takes futures, and {value!r} has none; persist() it first")
        yield from parts
    elif isinstance(value, dict):
        for each in value.values():
            yield from find_tracked(each)
    elif isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        for each in value:
            yield from find_tracked(each)
    else:
        raise TypeError(f"progress() takes futures, not {value!r}")
