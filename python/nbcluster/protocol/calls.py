"""Questions to a scheduler and their answers, matched by number; failures come back as the exceptions they were."""

from __future__ import annotations

import asyncio
from typing import Any

from nbcluster import errors
from nbcluster.errors import ClusterError, NbclusterError
from nbcluster.protocol.messages import Answered, CallFailed

_BUILT_IN: dict[str, type[Exception]] = {
    "ValueError": ValueError,
    "TypeError": TypeError,
    "RuntimeError": RuntimeError,
    "TimeoutError": errors.TimeoutError,
}


class Calls:
    """The open questions of one link, on the event loop that runs here."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._last = 0

    def open(self) -> tuple[int, asyncio.Future[Any]]:
        """A new question's number, and the future of its answer."""
        self._last += 1
        future = self._loop.create_future()
        self._open[self._last] = future
        return self._last, future

    def answer(self, number: int, answer: Any) -> None:
        """Settle a question; one that nobody waits for any more is dropped."""
        future = self._open.pop(number, None)
        if future is not None and not future.done():
            future.set_result(answer)

    def answered(self, message: Answered) -> None:
        """Settle a call."""
        self.answer(message.id, message.answer)

    def failed(self, message: CallFailed) -> None:
        """Settle a call with the exception that the cluster names."""
        self.fail(message.id, named_error(message.kind, message.message))

    def fail(self, number: int, error: Exception) -> None:
        """Settle a question with an exception; one that nobody waits for any more is dropped."""
        future = self._open.pop(number, None)
        if future is not None and not future.done():
            future.set_exception(error)

    def end(self, error: Exception) -> None:
        """Settle all that is open: there will be no answers."""
        for future in self._open.values():
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever waits still gets it; if nobody does, that is no news
        self._open.clear()


def named_error(kind: str, text: str) -> Exception:
    """An exception by the name of its type: one of ours, or one of the few built-in ones."""
    if kind in _BUILT_IN:
        return _BUILT_IN[kind](text)
    cls = getattr(errors, kind, None)
    if isinstance(cls, type) and issubclass(cls, NbclusterError) and cls.__init__ is NbclusterError.__init__:
        return cls(text)
    return ClusterError(text)
