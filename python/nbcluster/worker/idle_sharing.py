"""What a worker does while it has nothing to run: it moves large results into shared memory.

Whoever wants one later then has it at once. A worker that is busy does not spend time on what nobody may ever want, nor
does one that sends data; and one that has shared much already keeps the rest to itself: it can put that on a disk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from nbcluster.comm.tasks import TaskOwner
from nbcluster.protocol.serialize import SHARE_MIN
from nbcluster.types import Key

PAUSE = 0.05
"""Seconds that a worker must have been idle for: the next task might be on its way, and need the result as it is."""


class IdleSharing:
    """Of one worker, on its loop.

    Args:
        move: moves one result, if it is still there.
        idle: tells whether nothing is running, queued or being sent.
        has_room: tells whether so many bytes more may be shared.
        owner: of the task in which that happens.
    """

    def __init__(
        self,
        move: Callable[[Key], Awaitable[None]],
        idle: Callable[[], bool],
        has_room: Callable[[int], bool],
        owner: TaskOwner,
    ) -> None:
        self._move = move
        self._idle = idle
        self._has_room = has_room
        self._owner = owner
        self._waiting: deque[tuple[Key, int]] = deque()
        self._busy = False

    def note(self, key: Key, value: Any, nbytes: int) -> None:
        """A task has returned this."""
        if is_buffer(value):
            self._waiting.append((key, nbytes))
            if not self._busy:
                self._busy = True
                self._owner.start(self._run(), "share when idle")

    async def _run(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(PAUSE)
                while self._waiting and self._idle():
                    key, nbytes = self._waiting.popleft()
                    if self._has_room(nbytes):
                        await self._move(key)
        finally:
            self._busy = False


def is_buffer(value: Any) -> bool:
    """True for arrays, bytes and the like: large, and shared without a look at their elements."""
    try:
        view = memoryview(value)
    except TypeError:
        return False
    return view.nbytes >= SHARE_MIN and view.contiguous and view.format != "O"
