"""What loggers of this process say, sent to the clients that asked for it.

Records are made where a task logs, in any thread, and sent from the event loop. Workers that are threads of one process
share its loggers: the first of them that is told to forward one does so.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable

from nbcluster.protocol.inspection import ForwardLogs, LogEntry

_taken: dict[str, LogForwarding] = {}
"""By the name of the logger: who forwards what it says."""
_lock = threading.Lock()

_UNTOLD = ("nbcluster.comm", "nbcluster.protocol")
"""What these say may come of sending a record: it is not sent, or it would not end."""


class LogForwarding:
    """The loggers that one worker forwards.

    Args:
        send: sends an entry; called on the loop.
    """

    def __init__(self, send: Callable[[LogEntry], None]) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._handlers: dict[str, _Forwarder] = {}

    def order(self, order: ForwardLogs) -> None:
        """Begin to forward a logger, change from which level on, or end it."""
        name, handler = order.logger, self._handlers.get(order.logger)
        if order.level is None or order.pids == [os.getpid()]:
            self._end(name)
        elif handler is not None:
            handler.setLevel(order.level)
        else:
            with _lock:
                if _taken.setdefault(name, self) is not self:
                    return
            handler = self._handlers[name] = _Forwarder(name, order.level, self._tell)
            logging.getLogger(name).addHandler(handler)

    def _end(self, name: str) -> None:
        handler = self._handlers.pop(name, None)
        if handler is not None:
            logging.getLogger(name).removeHandler(handler)
            with _lock:
                _taken.pop(name, None)

    def _tell(self, entry: LogEntry) -> None:
        try:
            self._loop.call_soon_threadsafe(self._send, entry)
        except RuntimeError:  # the loop is closed: nobody listens any more
            return

    def close(self) -> None:
        """Forward nothing more. Idempotent."""
        for name in list(self._handlers):
            self._end(name)


class _Forwarder(logging.Handler):
    def __init__(self, forwarded: str, level: int, tell: Callable[[LogEntry], None]) -> None:
        super().__init__(level)
        self._forwarded = forwarded
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Called by ``logging``."""
        if record.name.startswith(_UNTOLD):
            return
        try:
            self._tell(_entry(self._forwarded, record))
        except Exception:
            self.handleError(record)


_formatter = logging.Formatter()


def _entry(forwarded: str, record: logging.LogRecord) -> LogEntry:
    traceback = record.exc_text or ""
    if not traceback and record.exc_info:
        traceback = _formatter.formatException(record.exc_info)
    return LogEntry(
        forwarded=forwarded,
        name=record.name,
        level=record.levelno,
        text=record.getMessage(),
        created=record.created,
        path=record.pathname,
        line=record.lineno,
        function=record.funcName or "",
        thread=record.threadName or "",
        pid=record.process or 0,
        traceback=traceback,
    )
