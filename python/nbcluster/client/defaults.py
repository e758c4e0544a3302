"""Which client is meant when none is named: that of the innermost ``with`` block, else the task's, else the newest."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbcluster.client.client import Client

_context: ContextVar[Client | None] = ContextVar("nbcluster_current_client", default=None)
_stack: list[weakref.ref[Client]] = []
_lock = threading.Lock()
_find_task_client: Callable[[], Client | None] | None = None


def push(client: Client) -> None:
    """Make this the default."""
    with _lock:
        _stack.append(weakref.ref(client))
    _tell_dask()


def remove(client: Client) -> None:
    """It is the default no more; the one before it is again."""
    with _lock:
        _stack[:] = [ref for ref in _stack if ref() is not None and ref() is not client]
    _tell_dask()


def _tell_dask() -> None:
    from nbcluster.client import dask_default

    dask_default.follow(bool(_stack))


def set_task_client(find: Callable[[], Client | None]) -> None:
    """Say which client is meant in a task where none is named: ``find`` returns None outside tasks."""
    global _find_task_client
    _find_task_client = find


def current(allow_global: bool = True) -> Client | None:
    """The current client, if there is one."""
    client = _context.get()
    if client is not None and client.status == "running":
        return client
    if _find_task_client is not None:
        client = _find_task_client()
        if client is not None:
            return client
    if allow_global:
        with _lock:
            for ref in reversed(_stack):
                client = ref()
                if client is not None and client.status == "running":
                    return client
    return None


@contextmanager
def as_current(client: Client) -> Iterator[Client]:
    """Make a client the current one in this context (thread, task) only."""
    mark = _context.set(client)
    try:
        yield client
    finally:
        _context.reset(mark)


def check_client(name: str, value: object) -> Client:
    """The value, if it is a client.

    Raises:
        TypeError: names the argument and its value.
    """
    from nbcluster.client.connected import ConnectedClient

    if not isinstance(value, ConnectedClient):
        raise TypeError(f"{name}={value!r} is not a Client")
    return value._this


def default_client(c: Client | None = None) -> Client:
    """The client to use: the one given, else the current one.

    Raises:
        TypeError: ``c`` is no client.
        ValueError: there is none.

    Example:
        >>> default_client(client) is client
        True
    """
    client = current() if c is None else check_client("c", c)
    if client is None:
        raise ValueError("No clients found. Start a client first: client = Client()  (or pass the one to use)")
    return client
