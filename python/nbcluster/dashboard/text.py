"""Words and figures for people.

Keys, names and log lines are hostile text: :func:`display` makes one harmless, readable line of them. It does not
escape HTML, because canvas text, Bokeh's tooltips and autoescaped templates must each get the plain text.
"""

from __future__ import annotations

import time
import unicodedata

from nbcluster.units import format_duration, three_digits

__all__ = ["byte_ticks", "clock", "display", "format_bytes", "format_count", "format_duration", "plural"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_GAP = "\u200b"  # zero-width space


def display(text: object, limit: int = 80) -> str:
    """One line of at most ``limit`` characters that shows ``text`` and does nothing else.

    Control characters and those that change the direction of writing become visible; a long text loses its middle, not
    its end, which is where keys differ; BokehJS would typeset ``$$…$$`` as mathematics, so such marks are broken up.
    """
    plain = str(text)
    if len(plain) > limit:
        tail = limit // 3
        plain = f"{plain[: limit - tail - 1]}…{plain[-tail:]}"
    visible = "".join("\ufffd" if unicodedata.category(c) in _INVISIBLE else c for c in plain)
    for mark in ("$$", r"\[", r"\(", r"\]", r"\)"):
        visible = visible.replace(mark, mark[0] + _GAP + mark[1])
    return visible


def format_bytes(n: float) -> str:
    """``format_bytes(1536)`` is ``"1.5 KiB"``: three significant digits, binary units."""
    unit = 0
    while abs(n) >= 999.5 and unit < len(_UNITS) - 1:
        n /= 1024
        unit += 1
    return f"{three_digits(n)} {_UNITS[unit]}" if unit else f"{n:.0f} B"


def byte_ticks(end: float, most: int = 4) -> dict[float, str]:
    """At most so many round figures from 0 to ``end``, a power of two apart, and how they are written."""
    step = 1
    while end / step >= most:
        step *= 2
    return {float(tick): format_bytes(tick) for tick in range(0, int(end) + 1, step)}


def format_count(n: int) -> str:
    """``format_count(12345)`` is ``"12,345"``."""
    return f"{n:,}"


def clock(moment: float) -> str:
    """The time of day, here, of a moment in seconds since the epoch: ``"13:05:09"``."""
    return time.strftime("%H:%M:%S", time.localtime(moment))


def plural(n: int, noun: str) -> str:
    """``plural(1, "task")`` is ``"1 task"``, ``plural(2, "task")`` is ``"2 tasks"``."""
    return f"{format_count(n)} {noun}" if n == 1 else f"{format_count(n)} {noun}s"
