"""What ``Worker``, ``Nanny`` and ``Scheduler`` have in common: a life that begins with ``await`` or ``async with``."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from nbcluster.arguments import check_text
from nbcluster.errors import ClusterError
from nbcluster.types import Status

logger = logging.getLogger("nbcluster.cluster")

S = TypeVar("S", bound="Server")


class Server(ABC):
    """Something that is started with ``await`` or ``async with``, on the running event loop."""

    def __init__(self) -> None:
        self.status = Status.CREATED
        """``"created"``, ``"starting"``, ``"running"``, ``"closing"``, ``"closed"`` or ``"failed"``."""
        self._stack = AsyncExitStack()
        self._ended = asyncio.Event()
        self._starting: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    async def start(self: S) -> S:
        """Start, or wait until it has started; does nothing if it has already.

        Raises:
            ClusterError: it was closed before it had started.
            Exception: what kept it from starting.
        """
        first = self._starting is None and self.status == Status.CREATED
        if first:
            self.status = Status.STARTING
            self._starting = asyncio.get_running_loop().create_task(self._begin(), name=f"start {self!r}")
        if self._starting is not None:
            try:
                await asyncio.wait([self._starting])
            except asyncio.CancelledError:
                if first:
                    self._starting.cancel()
                    await asyncio.wait([self._starting])
                raise
        if self._failure is not None:
            raise self._failure
        return self

    async def _begin(self) -> None:
        try:
            await self._start()
        except BaseException as error:
            if self.status == Status.CLOSING:
                return  # who closes it says why
            cancelled = isinstance(error, asyncio.CancelledError)
            self._failure = ClusterError(f"the start of {self!r} was cancelled") if cancelled else error
            await self.close()
            self.status = Status.FAILED
        else:
            if self.status == Status.STARTING:
                self.status = Status.RUNNING

    @abstractmethod
    async def _start(self) -> None:
        """Do what there is to do; what is pushed on ``_stack`` is undone by ``close``."""

    async def close(self, *, reason: str = "") -> None:
        """End it. Idempotent.

        Args:
            reason: for the log.
        """
        if check_text("reason", reason) and self.status not in (Status.CLOSING, Status.CLOSED):
            logger.info("%s is closed: %s", self, reason)
        if self.status in (Status.CLOSING, Status.CLOSED):
            await self._ended.wait()
            return
        self.status = Status.CLOSING
        starting = self._starting
        if starting is not None and not starting.done() and starting is not asyncio.current_task():
            self._failure = ClusterError(f"{self!r} was closed before it had started")
            starting.cancel()
            await asyncio.wait([starting])
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
