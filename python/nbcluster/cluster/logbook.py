"""A cluster's log: its workers' lines come through the supervisor, its own through ``logging``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from nbcluster.commands import GetLogs
from nbcluster.snapshot import LogLine
from nbcluster.supervisor.logs import LogBook
from nbcluster.supervisor.records import FORMAT

_SOURCES = {
    "nbcluster.scheduler": "Scheduler",
    "nbcluster.cluster": "Cluster",
    "nbcluster.supervisor": "Cluster",
    "nbcluster.dashboard": "Cluster",
}
_TAIL = 15


class _Speaker(logging.Handler):
    """Writes records to stderr, unless a cluster that was there before does so already."""

    def __init__(self, logger: logging.Logger, level: int) -> None:
        super().__init__(level)
        self._logger = logger
        self.setFormatter(logging.Formatter(FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        """Called by ``logging``."""
        first = next(handler for handler in self._logger.handlers if isinstance(handler, _Speaker))
        if first is self:
            print(self.format(record), file=sys.stderr)


class ClusterLogs:
    """The log book, and what fills it from this process.

    Args:
        directory: the cluster's own; the log file goes there.
        level: from which level on records go to stderr as well; None leaves that to the program's own logging.
    """

    def __init__(self, directory: Path, level: int | None) -> None:
        self.book = LogBook(directory / "cluster.log")
        self._handlers: list[tuple[logging.Logger, logging.Handler]] = []
        for name, source in _SOURCES.items():
            logger = logging.getLogger(name)
            if logger.level == logging.NOTSET:
                logger.setLevel(logging.INFO)
            self._add(logger, self.book.handler(source))
            if level is not None:
                logger.propagate = False
                self._add(logger, _Speaker(logger, level))

    def _add(self, logger: logging.Logger, handler: logging.Handler) -> None:
        logger.addHandler(handler)
        self._handlers.append((logger, handler))

    def lines(self, query: GetLogs) -> list[LogLine]:
        """The lines that a command asks for."""
        return self.book.lines(query.after, query.limit, query.worker, query.level)

    def tail(self) -> str:
        """The last lines of all, for an error message."""
        lines = self.book.lines(limit=_TAIL)
        return "Its log ends:\n" + "\n".join(f"{line.source}: {line.text}" for line in lines) if lines else ""

    async def close(self) -> None:
        """Stop listening; lines stay readable."""
        for logger, handler in self._handlers:
            logger.removeHandler(handler)
            logger.propagate = True
        self._handlers.clear()
        self.book.close()
