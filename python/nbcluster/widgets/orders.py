"""What the card's controls ask of the cluster: what is under way, and what was refused."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from nbcluster.commands import AnyAnswer, AnyCommand, View
from nbcluster.snapshot import ClusterView
from nbcluster.widgets.remote import Remote

MOST_FAILURES = 5
"""So many are shown: the latest."""


class Orders:
    """The controls' way to the cluster. All of it runs on the cluster's loop, but for ``post``.

    Args:
        remote: the cluster.
        changed: called when there is something new to draw, with the view that an answer brought.
    """

    def __init__(self, remote: Remote, changed: Callable[[ClusterView | None], None]) -> None:
        self.remote = remote
        self.failures: deque[str] = deque(maxlen=MOST_FAILURES)
        self._changed = changed
        self._under_way: list[str] = []

    @property
    def doing(self) -> str:
        """What the card waits for, e.g. ``"Scaling…"``; or ``""``."""
        return self._under_way[-1] if self._under_way else ""

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the loop call ``callback(*args)``: how handlers, which run in any thread, get here."""
        self.remote.post(callback, *args)

    def give(self, command: AnyCommand, doing: str, refusal: str) -> None:
        """Give the cluster an order.

        Args:
            command: what to do.
            doing: what to say meanwhile, e.g. ``"Scaling…"``.
            refusal: what to say before the reason if it is not done, e.g. ``"Not scaled"``.
        """
        self._under_way.append(doing)
        self._changed(None)

        def answered(answer: AnyAnswer) -> None:
            self._under_way.remove(doing)
            self._changed(answer.cluster if isinstance(answer, View) else None)

        def failed(error: Exception) -> None:
            self._under_way.remove(doing)
            text = f"{refusal}: {describe(error)}"
            if text in self.failures:
                self.failures.remove(text)
            self.failures.append(text)
            self._changed(None)

        self.remote.send(command, answered, failed)

    def dismiss(self) -> None:
        """Forget what was refused."""
        self.failures.clear()
        self._changed(None)


def describe(error: BaseException) -> str:
    """An error in words; one that nobody meant for people comes with its type."""
    text = str(error)
    if isinstance(error, (ValueError, TypeError, RuntimeError, OSError, asyncio.TimeoutError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
