"""How the level of a log record survives the way through a worker's stderr.

Every line that the worker's logging writes begins with a mark and its level; everything else on that pipe is
plain output. Nothing more is ever parsed: what a task prints is not to be trusted with meaning.
"""

from __future__ import annotations

import logging
import sys

FORMAT = "%(name)s - %(levelname)s - %(message)s"
_MARK = "\x01"
_LEVELS = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}


class MarkedFormatter(logging.Formatter):
    """Marks every line of a record, those of its traceback too."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """The record as marked lines."""
        head = f"{_MARK}{level_name(record.levelno)}{_MARK}"
        return "\n".join(head + line for line in super().format(record).splitlines() or [""])


def level_name(number: int) -> str:
    """The standard level that a number belongs to."""
    for level in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO):
        if number >= level:
            return logging.getLevelName(level)
    return "DEBUG"


def split(line: str, stream: str) -> tuple[str, str]:
    """The level and the text of a line that was read; without a mark, the level is the stream's name."""
    if line.startswith(_MARK):
        level, mark, text = line[1:].partition(_MARK)
        if mark and level in _LEVELS:
            return level, text
    return stream, line


def log_to_stderr() -> None:
    """In a worker: have log records written to stderr, marked; those of tasks and libraries as well."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(MarkedFormatter())
    logging.getLogger().addHandler(handler)
    logging.getLogger("nbcluster").setLevel(logging.INFO)
