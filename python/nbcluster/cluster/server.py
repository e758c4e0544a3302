"""What ``Worker``, ``Nanny`` and ``Scheduler`` have in common: a life that begins with ``await`` or ``async with``."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from nbcluster.types import Status

S = TypeVar("S", bound="Server")


class Server(ABC):
    """Something that is started with ``await`` or ``async with``, on the running event loop."""

    def __init__(self) -> None:
        self.status = Status.CREATED
        """``"created"``, ``"starting"``, ``"running"``, ``"closing"``, ``"closed"`` or ``"failed"``."""
        self._stack = AsyncExitStack()
        self._ended = asyncio.Event()

    async def start(self: S) -> S:
        """Start; does nothing if it was started already."""
        if self.status != Status.CREATED:
            return self
        self.status = Status.STARTING
        try:
            await self._start()
        except BaseException:
            await self.close()
            self.status = Status.FAILED
            raise
        self.status = Status.RUNNING
        return self

    @abstractmethod
    async def _start(self) -> None:
        """Do what there is to do; what is pushed on ``_stack`` is undone by ``close``."""

    async def close(self) -> None:
        """End it. Idempotent."""
        if self.status in (Status.CLOSING, Status.CLOSED):
            await self._ended.wait()
            return
        self.status = Status.CLOSING
        try:
            await self._stack.aclose()
        finally:
            self.status = Status.CLOSED
            self._ended.set()

    async def finished(self) -> None:
        """Wait until it has ended, whoever ended it."""
        await self._ended.wait()

    def __await__(self: S) -> Generator[Any, None, S]:
        return self.start().__await__()

    async def __aenter__(self: S) -> S:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()
