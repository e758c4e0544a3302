"""The scheduler's answers to questions about its own process: what it runs on, where its thread spends its time."""

from __future__ import annotations

import threading
import time

from nbcluster import versions
from nbcluster.comm.sampling import AtWork, History, Sampler
from nbcluster.protocol.inspection import AnyLook, LookAtProfile, LookAtVersions, Versions
from nbcluster.protocol.profiles import Profile

PATIENCE = 60.0
"""Seconds after the last question for it that the scheduler goes on with its profile."""


class Inspector:
    """Looks at the process that the scheduler is in.

    The scheduler is sampled only from when somebody first asks for its profile until nobody has asked for a minute: its
    path is the hottest, and few ask.
    """

    def __init__(self) -> None:
        self._history = History()
        self._sampler = Sampler(self._at_work)
        self._asked = 0.0
        self._thread = 0

    def see(self, look: AnyLook) -> Versions | Profile:
        """Answer a question.

        Raises:
            ValueError: it is one for workers.
        """
        if isinstance(look, LookAtVersions):
            return Versions(versions.host(), versions.packages(look.packages))
        if isinstance(look, LookAtProfile):
            self._asked = time.monotonic()
            self._thread = threading.get_ident()
            self._sampler.wake()
            return self._history.profile(None, look.start, look.stop)
        raise ValueError(f"the scheduler has no answer to {type(look).__name__}; ask its workers")

    def close(self) -> None:
        """Sample no more."""
        self._sampler.close()

    def _at_work(self) -> list[AtWork]:
        if time.monotonic() - self._asked > PATIENCE:
            return []
        return [AtWork(self._history, "", self._thread)]
