"""Which task the current thread runs, or the current coroutine; and on which worker."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from nbcluster.types import Key

if TYPE_CHECKING:
    from nbcluster.worker.current import CurrentWorker
    from nbcluster.worker.seats import Seat


LEVEL_VARIABLE = "NBCLUSTER_LEVEL"
"""Tells the processes that a worker starts how deep its cluster is nested within others."""


class _Context(threading.local):
    key: Key | None = None
    seat: Seat | None = None
    worker: CurrentWorker | None = None
    hosts_actors = False


_context = _Context()
_inherited: ContextVar[tuple[Key | None, Seat | None, CurrentWorker | None]] = ContextVar(
    "nbcluster_task", default=(None, None, None)
)
"""The same, for coroutines of a task: they run in a thread that is not the task's."""
_own: list[CurrentWorker] = []


def sit(seat: Seat, worker: CurrentWorker | None) -> None:
    """This thread runs tasks from now on."""
    _context.seat, _context.worker = seat, worker


def host_actors(worker: CurrentWorker) -> None:
    """This thread runs the methods of that worker's actors from now on."""
    _context.worker, _context.hosts_actors = worker, True


def hosts_actors() -> bool:
    """True in a thread that runs the methods of actors."""
    return _context.hosts_actors


def enter(key: Key) -> None:
    """This thread, which has no seat, begins something on behalf of a task."""
    _context.key = key


def leave() -> None:
    """It has ended that."""
    _context.key = None


def _key() -> Key | None:
    """The key of what this thread itself runs."""
    seat = _context.seat
    return _context.key if seat is None else seat.key or None


@contextmanager
def inherit() -> Iterator[None]:
    """Coroutines and threads that copy this thread's context variables meanwhile belong to its task."""
    mark = _inherited.set((_key(), _context.seat, _context.worker))
    try:
        yield
    finally:
        _inherited.reset(mark)


@contextmanager
def beside_tasks(worker: CurrentWorker) -> Iterator[None]:
    """What this thread runs meanwhile belongs to a worker, and to none of its tasks."""
    mark = _inherited.set((None, None, worker))
    try:
        yield
    finally:
        _inherited.reset(mark)


def own_process(worker: CurrentWorker) -> None:
    """This process is that worker's alone: whatever runs in it, runs on it."""
    os.environ[LEVEL_VARIABLE] = str(worker.level)
    _own[:] = [worker]


def is_alone(worker: CurrentWorker) -> bool:
    """True if this process is that worker's alone."""
    return worker in _own


def current_key() -> Key | None:
    """The key of the task that runs here; None outside tasks."""
    return _key() or _inherited.get()[0]


def current_seat() -> Seat | None:
    """The seat of the task that runs here; None outside tasks."""
    if _key() is not None:
        return _context.seat
    return _inherited.get()[1]


def current_worker() -> CurrentWorker | None:
    """The worker that this task, or this process, belongs to."""
    if _key() is not None:
        return _context.worker
    worker = _inherited.get()[2]
    return worker or (_own[0] if _own else None)
