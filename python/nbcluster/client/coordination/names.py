"""Names of what clients share: strings, or numbers, bytes and tuples of such. On the wire they are text."""

from __future__ import annotations

from typing import Any

from nbcluster.arguments import check_text
from nbcluster.protocol.metadata import is_name

Name = Any
"""A string, a number, bytes, or a tuple or list of such: a list is the same name as the tuple."""

_NO_STRING = "\0"
"""What begins the text of a name that is no string: strings are taken as they are."""


def check_name(what: str, name: Name) -> None:
    """Refuse what is no name.

    Raises:
        TypeError, ValueError: says what is allowed.
    """
    if isinstance(name, str):
        check_text(what, name)
    elif not is_name(_hashable(name)) or name is None:
        raise TypeError(f"{what}={name!r} is not a string, a number, or a tuple of such")


def text_of(name: Name) -> str:
    """The same text for the same name in every process, and for no other."""
    return name if isinstance(name, str) else f"{_NO_STRING}{_hashable(name)!r}"


def _hashable(name: Name) -> Name:
    return tuple(map(_hashable, name)) if isinstance(name, (list, tuple)) else name
