"""Bytes and seconds, to and from text."""

from __future__ import annotations

import math
import numbers
import re
from functools import lru_cache

_BYTES = {
    "": 1,
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgtp", 1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgtp", 1)},
    **{f"{prefix}": 1000**power for power, prefix in enumerate("kmgtp", 1)},
    **{f"{prefix}i": 1024**power for power, prefix in enumerate("kmgtp", 1)},
}
_SECONDS = {
    "": 1.0,
    "sec": 1.0,
    "min": 60.0,
    **{
        spelling: seconds
        for word, short, seconds in (
            ("nanosecond", "ns", 1e-9),
            ("microsecond", "us", 1e-6),
            ("millisecond", "ms", 1e-3),
            ("second", "s", 1.0),
            ("minute", "m", 60.0),
            ("hour", "h", 3600.0),
            ("day", "d", 86400.0),
            ("week", "w", 604800.0),
        )
        for spelling in (short, word, f"{word}s")
    },
}
_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_bytes(text: str, name: str) -> int:
    """``parse_bytes("1.5 GiB", "memory_limit")`` is 1610612736.

    Raises:
        ValueError: names the argument, its value and what is allowed.
    """
    match = _QUANTITY.fullmatch(text)
    unit = _BYTES.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"{name}={text!r} is not a number of bytes; give e.g. '1GiB', '512 MiB' or '2e9'")
    return int(float(match[1]) * unit)


def format_bytes(n: float) -> str:
    """``format_bytes(25282000000)`` is ``"23.55 GiB"``."""
    for power, prefix in ((5, "P"), (4, "T"), (3, "G"), (2, "M"), (1, "k")):
        size = 1024**power
        if n >= size * 0.9:
            return f"{n / size:.2f} {prefix}iB"
    return f"{int(n)} B"


def parse_seconds(value: object, name: str) -> float:
    """Seconds from a number, or from text like ``"500 ms"``.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
    """
    if isinstance(value, str):
        known = _seconds_in(value)
        if known is None:
            raise ValueError(f"{name}={value!r} is not a time; give seconds, or text like '500 ms' or '2 min'")
        return known
    seconds = getattr(value, "total_seconds", None)
    if callable(seconds):
        value = seconds()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={value!r} is not a number of seconds")
    try:
        number = float(value)
    except OverflowError:
        number = math.nan
    if math.isnan(number) or number < 0:
        raise ValueError(f"{name}={value!r} is out of range; give a number of seconds that is not negative")
    return number


@lru_cache(maxsize=16)
def _seconds_in(text: str) -> float | None:
    match = _QUANTITY.fullmatch(text)
    unit = _SECONDS.get(match[2].lower()) if match else None
    return None if match is None or unit is None else float(match[1]) * unit


def format_duration(seconds: float) -> str:
    """``format_duration(0.0015)`` is ``"1.5 ms"``; minutes from 100 s on, e.g. ``"2 min 5 s"``."""
    if seconds < 0.0009995:
        return f"{three_digits(seconds * 1e6)} µs"
    if seconds < 0.9995:
        return f"{three_digits(seconds * 1e3)} ms"
    if seconds < 99.95:
        return f"{three_digits(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def three_digits(value: float) -> str:
    """``three_digits(12.345)`` is ``"12.3"``; zeros at the end go."""
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
