"""At which shares of its memory limit what is done about a worker's memory."""

from __future__ import annotations

import msgspec


class MemoryFractions(msgspec.Struct, frozen=True):
    """Shares of ``memory_limit``; None: nothing is done."""

    target: float | None = 0.6
    """The coldest results go to disk when all that are held take more than this."""
    spill: float | None = 0.7
    """They do so too when the process takes more than this, until it takes less than the target."""
    pause: float | None = 0.8
    """The worker gets no more tasks while its process takes more than this."""
    terminate: float | None = 0.95
    """The process is ended, and another one started, when it takes more than this."""


def memory_fractions(target: object, spill: object, pause: object, terminate: object) -> MemoryFractions:
    """Accept ``memory_target_fraction`` and the like: each a share of the limit, or False.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
    """
    return MemoryFractions(
        _fraction("memory_target_fraction", target),
        _fraction("memory_spill_fraction", spill),
        _fraction("memory_pause_fraction", pause),
        _fraction("memory_terminate_fraction", terminate),
    )


def _fraction(name: str, value: object) -> float | None:
    allowed = "give a share of memory_limit, above 0 and at most 1, or False"
    if value is False:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}={value!r} is no number; {allowed}")
    if not 0 < value <= 1:
        raise ValueError(f"{name}={value!r} is out of range; {allowed}")
    return float(value)
