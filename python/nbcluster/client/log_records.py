"""Log records of workers, handled here by the loggers of the same names."""

from __future__ import annotations

import logging
import os

from nbcluster.protocol.inspection import LogEntry


def reemit(entry: LogEntry) -> None:
    """Have the logger of its name handle a worker's record, if it is enabled for its level.

    The record has an attribute more, ``worker``: the worker's address. What a worker in this very process said has been
    handled when it was said.
    """
    logger = logging.getLogger(entry.name)
    if entry.pid != os.getpid() and logger.isEnabledFor(entry.level):
        logger.handle(_record(entry))


def _record(entry: LogEntry) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": entry.name,
            "msg": entry.text,
            "args": (),
            "levelno": entry.level,
            "levelname": logging.getLevelName(entry.level),
            "created": entry.created,
            "msecs": entry.created % 1 * 1000,
            "pathname": entry.path,
            "filename": entry.path.replace("\\", "/").rpartition("/")[2],
            "lineno": entry.line,
            "funcName": entry.function,
            "threadName": entry.thread,
            "process": entry.pid,
            "exc_text": entry.traceback or None,
            "worker": entry.worker,
        }
    )
