"""The dashboard's end of a control link: commands and their answers, pushed views, and the cluster's end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from nbcluster import errors
from nbcluster.comm.base import Connection
from nbcluster.commands import AnyAnswer, AnyCommand
from nbcluster.deadlines import within
from nbcluster.errors import ClusterError, CommClosedError, TimeoutError
from nbcluster.protocol.messages import Answered, Call, CallFailed, Pushed

OnPush = Callable[[AnyAnswer], None]


class ClusterLink:
    """Calls over one link. Made on an authenticated connection, which it owns from then on.

    Args:
        connection: not started yet.
        on_push: takes what a subscription yields.
    """

    def __init__(self, connection: Connection, on_push: OnPush | None = None) -> None:
        self._connection = connection
        self._on_push = on_push
        self._waiting: dict[int, asyncio.Future[AnyAnswer]] = {}
        self._calls = 0
        self.lost_event = asyncio.Event()
        """Set when the link has ended, by whichever side."""
        connection.start(self)

    async def call(self, command: AnyCommand, timeout: float = 10.0) -> AnyAnswer:
        """Carry out a command.

        Raises:
            CommClosedError: the link ended.
            TimeoutError: no answer came in time.
            NbclusterError, ValueError, TypeError: the cluster refused; the type is the one it named.
        """
        self._calls += 1
        number = self._calls
        answer: asyncio.Future[AnyAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._connection.send(Call(number, command))
            return await within(answer, timeout)
        except asyncio.TimeoutError:
            name = type(command).__name__
            raise TimeoutError(f"the cluster did not answer {name} within {timeout:g} s") from None
        finally:
            del self._waiting[number]

    async def close(self) -> None:
        """End the link. Idempotent."""
        await self._connection.close()
        self.lost(None)

    # --- comm.base.Receiver ---

    def received(self, messages: list[Any]) -> None:
        """Called by the connection."""
        for message in messages:
            if isinstance(message, Answered):
                self._settle(message.id, message.answer, None)
            elif isinstance(message, CallFailed):
                self._settle(message.id, None, _error(message))
            elif isinstance(message, Pushed) and self._on_push is not None:
                self._on_push(message.answer)

    def lost(self, error: Exception | None) -> None:
        """Called by the connection."""
        if self.lost_event.is_set():
            return
        self.lost_event.set()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(CommClosedError("the link to the cluster ended"))

    def _settle(self, number: int, answer: AnyAnswer, error: Exception | None) -> None:
        waiting = self._waiting.get(number)
        if waiting is None or waiting.done():  # given up on
            return
        if error is None:
            waiting.set_result(answer)
        else:
            waiting.set_exception(error)


def _error(failure: CallFailed) -> Exception:
    kinds: dict[str, type[Exception]] = {"ValueError": ValueError, "TypeError": TypeError}
    kind = kinds.get(failure.kind) or getattr(errors, failure.kind, None)
    if isinstance(kind, type) and issubclass(kind, (ValueError, TypeError, ClusterError)):
        try:
            return kind(failure.message)
        except TypeError:  # one that is made of facts, which do not travel
            return ClusterError(failure.message)
    return ClusterError(f"{failure.kind}: {failure.message}")


OpenLink = Callable[["OnPush | None"], Awaitable[ClusterLink]]
"""Makes one more link to the same cluster."""
