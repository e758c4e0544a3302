"""Which task the current thread runs."""

from __future__ import annotations

import threading

from nbcluster.types import Key


class _Context(threading.local):
    key: Key | None = None


_context = _Context()


def enter(key: Key) -> None:
    """This thread begins a task."""
    _context.key = key


def leave() -> None:
    """This thread has ended its task."""
    _context.key = None


def current_key() -> Key | None:
    """The key of the task that this thread runs; None outside tasks."""
    return _context.key
