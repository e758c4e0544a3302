"""What has lately come to a worker from others, and gone from it to others."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from nbcluster.protocol.messages import DataItem
from nbcluster.types import Address

MOST = 10_000
"""So many transfers are known."""


class TransferLog:
    """The latest transfers in one direction, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=MOST)

    def note(self, who: Address, items: Sequence[DataItem], began: float) -> None:
        """Results went from or to somebody, just now.

        Args:
            who: the other worker; ``""`` is a client.
            items: what went.
            began: when it was asked for, in seconds since the epoch.
        """
        if not items:
            return
        stop = time.time()
        total = sum(item.nbytes for item in items)
        duration = max(stop - began, 1e-6)
        self._entries.append(
            {
                "start": began,
                "stop": stop,
                "middle": (began + stop) / 2,
                "duration": duration,
                "who": who or None,
                "keys": {item.key: item.nbytes for item in items},
                "total": total,
                "compressed": sum(item.payload.sent_nbytes for item in items),
                "bandwidth": total / duration,
            }
        )

    @property
    def entries(self) -> deque[dict[str, Any]]:
        """They as plain dicts: who, when, which keys of how many bytes.

        ``total`` are the bytes of the results, and ``compressed`` those that went through a link: what is shared is
        not sent.
        """
        return deque(self._entries, MOST)
