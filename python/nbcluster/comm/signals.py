"""Signals to this process, and to it alone.

An event loop hears of signals through a socket to itself. A forked child would write to the very same socket what it is
sent: its parent would believe that it was meant.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping

_heeded: set[signal.Signals] = set()


@contextlib.contextmanager
def heeded(callbacks: Mapping[signal.Signals, Callable[[], object]]) -> Iterator[None]:
    """Have the running loop, that of the main thread, call back at signals. Forked children die of theirs, as is usual.

    Example:
        with heeded({signal.SIGTERM: stopped.set}):
            await stopped.wait()
    """
    loop = asyncio.get_running_loop()
    for number, callback in callbacks.items():
        loop.add_signal_handler(number, callback)
        _heeded.add(number)
    try:
        yield
    finally:
        for number in callbacks:
            _heeded.discard(number)
            loop.remove_signal_handler(number)


def _in_child() -> None:
    if _heeded:
        signal.set_wakeup_fd(-1)
        for number in _heeded:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        _heeded.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
