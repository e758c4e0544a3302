"""Threads that wait for one result after the other read it from the link themselves.

    the loop reads ── a thread has waited SHORTLY a few times in a row ──▶ lent: it reads, and no thread is woken
                  ◀── others wait or ask, something else arrives, or nobody reads for a TICK ──┘

Rules
1. Only one thread waits while the link is lent. What else wants to hear of something has the loop read again.
2. A thread tells no others of what it reads: if anybody waits for it, it is the loop's.
3. A thread that has read nothing for ``PATIENCE`` waits for the loop, as if it had never read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from nbcluster.client.states import CANCELLED, FINISHED, PENDING, FutureState
from nbcluster.client.wants import Wants
from nbcluster.comm.base import Connection
from nbcluster.comm.loan import Loan
from nbcluster.protocol.messages import KeysDone

SHORTLY = 0.005
"""Seconds from one wait to the next, if they are to be in a row."""

ROW = 3
"""So many waits in a row, and the link is lent."""

PATIENCE = 0.02
"""Seconds for which a thread reads without a result; for so long its answer to others may be late."""

TICK = 0.01
"""Seconds between two looks whether anybody still reads."""


class OwnReading:
    """Who reads a client's link."""

    def __init__(self, connection: Connection, wants: Wants) -> None:
        self._connection = connection
        self._wants = wants
        self._loan = Loan(connection)
        self._waiting: set[int] = set()
        """The threads that rely on the loop; an interrupt may leave one in it."""
        self._row = 0
        self._last = 0.0

    # --- in a thread ---

    def wait(
        self, state: FutureState, timeout: float | None, wait: Callable[[threading.Lock, float | None], bool]
    ) -> bool:
        """Wait until a state is not pending; False if that takes longer than ``timeout``."""
        start = time.monotonic()
        if (lending := self._loan.lending) is not None:
            patience = PATIENCE if timeout is None else min(PATIENCE, timeout)
            if lending.read(self._take, lambda: state.status != PENDING, patience, awake=True):
                self._wants.alone = True
                return True
            self._row = 0
            self._wants.on_loop(self.take_back)
        thread = threading.get_ident()
        self._waiting.add(thread)
        try:
            if self._loan.lending is not None:  # since a moment ago
                self._wants.on_loop(self.take_back)
            left = None if timeout is None else max(0.0, timeout - (time.monotonic() - start))
            if not state.wait_in_thread(left, wait):
                return False
        finally:
            self._waiting.discard(thread)
        self._wants.alone = True
        if self._connection.lends:
            self._count(start, time.monotonic())
        return True

    def _count(self, start: float, end: float) -> None:
        """One more wait has ended, on the loop's word."""
        in_a_row = start - self._last < SHORTLY and end - start < PATIENCE
        self._row = self._row + 1 if in_a_row else 0
        self._last = end
        if self._row >= ROW:
            self._wants.on_loop(self._lend)

    def _take(self, messages: list[Any]) -> bool:
        """Note results that nobody else waits for."""
        find, all_noted = self._wants.state, True
        for message in messages:
            if type(message) is not KeysDone:
                return False
            for item in message.items:
                state = find(item.key, message.let_go)
                if state is not None:
                    if state.status == PENDING:  # no call from here to the last line: the loop cannot come in between
                        state.type_name = item.type_name
                        state.nbytes = item.nbytes
                        state.payload = item.payload
                        state.status = FINISHED
                    elif state.status != CANCELLED:
                        all_noted = False
                    if state.is_watched:
                        all_noted = False
        self._wants.quiet = 0
        return all_noted

    # --- on the loop ---

    def _lend(self) -> None:
        self._row = 0
        if self._waiting or self._wants.closed_because:
            return
        self._loan.begin(TICK)
        if self._waiting:
            self.take_back()

    def take_back(self) -> None:
        """Have the loop read from now on; if a thread reads just now, as soon as it has what it waits for."""
        self._loan.end()
