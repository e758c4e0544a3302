"""What strangers can do to a listener is bounded: so many may wait at its gate, for so long.

When more come than may wait, the one that has waited longest is dropped. An honest peer is through in a millisecond, so
a flood of silent connections pushes out itself, and never blocks the way. Who fails learns of it late, and holds one of
those places until then; nobody else is slowed down.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class HandshakePolicy(NamedTuple):
    """How patient a listener is with strangers."""

    deadline: float = 5.0
    """Seconds in which a handshake must be done, and on ``tls://`` the one of TLS before it."""
    waiting: int = 256
    """How many may be at it at a time."""
    penalty: float = 1.0
    """Seconds after which a failed one is told so."""


DEFAULT_POLICY = HandshakePolicy()


class Stranger(Protocol):
    """Somebody who has connected and proved nothing yet."""

    def abort(self) -> None:
        """Drop the connection."""


class Admission:
    """Those who are at a listener's gate, oldest first."""

    def __init__(self, policy: HandshakePolicy) -> None:
        self.policy = policy
        self._waiting: dict[Stranger, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, stranger: Stranger) -> None:
        """Let one more wait, if need be in the place of the one that has waited longest."""
        if len(self._waiting) >= self.policy.waiting:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.abort()
        self._waiting[stranger] = None

    def leave(self, stranger: Stranger) -> None:
        """Called for a stranger who is through, or gone."""
        self._waiting.pop(stranger, None)

    def clear(self) -> None:
        """Send all of them away."""
        waiting, self._waiting = self._waiting, {}
        for stranger in waiting:
            stranger.abort()
