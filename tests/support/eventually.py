"""Waiting for what comes soon, in tests: ask again until it is so, never sleep and hope."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 20.0
_PAUSE = 0.005


def eventually(condition: Callable[[], T], what: str = "", timeout: float = PATIENCE) -> T:
    """The first true value of ``condition()``; fails if there is none in time."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"did not happen within {timeout:g} s: {what or condition}"
        time.sleep(_PAUSE)
    return value


async def soon(condition: Callable[[], T], what: str = "", timeout: float = PATIENCE) -> T:
    """The same on an event loop."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"did not happen within {timeout:g} s: {what or condition}"
        await asyncio.sleep(_PAUSE)
    return value
