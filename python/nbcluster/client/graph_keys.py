"""The keys of dask's graphs as keys of tasks: tuples, numbers and bytes become text.

Two keys have the same text only if they are equal, and a key has the same text in every process and every graph.
"""

from __future__ import annotations

import re
from typing import Any

from nbcluster.types import Key

_PLAIN = frozenset([str, int])
_LIKE_ANOTHER = re.compile(r"""[("'\d-]|b["']|inf$|$""")
"""How the texts of other keys begin; a string that begins like that is quoted."""


def key_text(key: Any) -> Key:
    """The text of a key; that of most strings is the string.

    Raises:
        TypeError: dask does not allow such a key.

    Example:
        >>> key_text(("x-d1f1", 0, 1)), key_text("sum-d1f1"), key_text(5)
        ("('x-d1f1', 0, 1)", 'sum-d1f1', '5')
    """
    if isinstance(key, str):
        text = str(key)
        return repr(text) if _LIKE_ANOTHER.match(text) or not _can_be_sent(text) else text
    return _canonical(key)


def _can_be_sent(text: str) -> bool:
    """False for text with half of a surrogate pair, which no encoding has."""
    return text.isascii() or all(not "\ud800" <= letter <= "\udfff" for letter in text)


def _canonical(key: Any) -> str:
    kind = type(key)
    if kind is tuple:
        for part in key:
            if type(part) not in _PLAIN:
                parts = [_canonical(part) for part in key]
                return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        return repr(key)
    if isinstance(key, str):
        return repr(str(key))
    if isinstance(key, bytes):
        return repr(bytes(key))
    if isinstance(key, tuple):
        return _canonical(tuple(key))
    if hasattr(key, "__index__"):
        return repr(int(key))  # of numpy's too; and True equals 1
    if isinstance(key, float) and key == key:
        return repr(int(key)) if key.is_integer() else repr(float(key))
    raise TypeError(f"the key {key!r} is not a string, bytes, a number, or a tuple of those")
