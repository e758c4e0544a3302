"""How long a link is lent to threads: as long as they read it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nbcluster.comm.base import Connection
from nbcluster.comm.lending import Lending


class Loan:
    """A link that is lent for as long as threads read it. On the loop, but for ``lending``.

    Args:
        connection: whose.
        look: called now and then while it is lent, and when it is given back.
    """

    def __init__(self, connection: Connection, look: Callable[[], object] = lambda: None) -> None:
        self.lending: Lending | None = None
        """As long as it is lent."""
        self._connection = connection
        self._look = look
        self._uses = 0
        self._ticker: asyncio.TimerHandle | None = None

    def begin(self, tick: float) -> None:
        """Lend it, if it can be; until nobody has read for ``tick`` seconds, or twice that."""
        if self.lending is None:
            self.lending = self._connection.lend_reading()
            if self.lending is not None:
                self._wait(tick)

    def end(self) -> bool:
        """Have the loop read from now on. False if a thread is reading just now."""
        if self.lending is None:
            return True
        if not self._connection.take_back_reading():
            return False
        self.lending = None
        if self._ticker is not None:
            self._ticker.cancel()
        self._look()
        return True

    def _wait(self, tick: float) -> None:
        self._ticker = asyncio.get_running_loop().call_later(tick, self._tick, tick)

    def _tick(self, tick: float) -> None:
        self._ticker = None
        lending = self.lending
        if lending is None:
            return
        if lending.uses == self._uses and self.end():
            return
        self._uses = lending.uses
        self._look()
        self._wait(tick)
