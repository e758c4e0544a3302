"""``silence_logs=`` of a worker by hand: for as long as it runs, its quieter log records go no further.

A program's own handlers belong to the program, so the records are stopped on their way there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = ("nbcluster.supervisor", "nbcluster.worker")
"""What workers and nannies log."""

_sieves: dict[str, _Sieve] = {}


class _Sieve(logging.Handler):
    """Passes on what is loud enough for all that want silence."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self.levels: list[int] = []
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Called by ``logging``."""
        if self._logger.parent is not None and record.levelno >= max(self.levels):
            self._logger.parent.callHandlers(record)


@contextmanager
def silence(level: int | None) -> Iterator[None]:
    """Stop records of workers below a level; None stops none."""
    if level is None:
        yield
        return
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if name not in _sieves:
            _sieves[name] = _Sieve(logger)
            logger.addHandler(_sieves[name])
            logger.propagate = False
        _sieves[name].levels.append(level)
    try:
        yield
    finally:
        for name in LOGGERS:
            sieve = _sieves[name]
            sieve.levels.remove(level)
            if not sieve.levels:
                logger = logging.getLogger(name)
                logger.removeHandler(_sieves.pop(name))
                logger.propagate = True
