"""What users give, checked: every error names the argument, its value and what is allowed.

Each function returns the value as it is used from then on: a plain ``int`` for an integer of NumPy's, for example.
"""

from __future__ import annotations

import math
import numbers
import operator
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

T = TypeVar("T")


class _NoDefault:
    def __repr__(self) -> str:
        return "no default"


NO_DEFAULT: Final = _NoDefault()
"""What an argument is that nobody gave, where None may be meant."""

MOST = 2**63 - 1
"""No number that a message can carry is larger."""


def check_flag(name: str, value: object) -> bool:
    """True or False.

    Raises:
        TypeError: it is neither.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name}={value!r} is neither True nor False")
    return value


def check_optional_flag(name: str, value: object) -> bool | None:
    """True, False or None, which leaves the choice to others.

    Raises:
        TypeError: it is none of them.
    """
    return None if value is None else check_flag(name, value)


def check_whole(name: str, value: object, least: int | None = None, most: int = MOST) -> int:
    """A whole number of at least ``least``, if there is a least one, and of at most ``most``.

    Raises:
        TypeError, ValueError: it is no whole number, or out of range.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        wanted = "an int" if least is None else f"an int of at least {least}"
        raise TypeError(f"{name}={value!r} is not a whole number; give {wanted}") from None
    if least is not None and number < least:
        raise ValueError(f"{name}={number} is out of range; give an int of at least {least}")
    if not -MOST <= number <= most:
        raise ValueError(f"{name}={number} is out of range; give an int of at most {most}")
    return number


def check_worker_count(name: str, value: object) -> int:
    """How many workers to wait for.

    Raises:
        ValueError: it is no whole number of at least 1, of whatever type.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r} is not allowed; give a whole number of at least 1")
    return value


def check_number(name: str, value: object) -> int | float:
    """Any number, whole or not.

    Raises:
        TypeError, ValueError: it is none, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={value!r} is not a number")
    if isinstance(value, numbers.Integral):
        return check_whole(name, value)
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{name}={number} is out of range; give a finite number")
    return number


def check_text(name: str, value: object) -> str:
    """Text that can be sent.

    Raises:
        TypeError, ValueError: it is no text, or holds what no encoding has: half of a surrogate pair.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r} is not a string")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{name}={value!r} is no text that can be sent: {error.reason}") from None
    return value


def check_several(name: str, value: object, what: str) -> list[Any]:
    """The elements of a list or of something like it; a text is no list of letters here.

    Raises:
        TypeError: it has no elements.
    """
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"{name}={value!r} is not a list of {what}")
    return list(value)


def check_key(name: str, value: object) -> str:
    """A key of a task.

    Raises:
        TypeError, ValueError: it is no text, or an empty one, or cannot be sent.
    """
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name}={value!r} is not a non-empty string")
    return check_text(name, value)


def check_keys(name: str, value: object) -> list[str]:
    """Keys: one, or several, or futures for them.

    Raises:
        TypeError, ValueError: there is something else.
    """
    several = [value] if isinstance(value, str) or hasattr(value, "key") else check_several(name, value, "keys")
    keys = [getattr(key, "key", key) for key in several]
    for key in keys:
        if not isinstance(key, str):
            raise TypeError(f"{name}={value!r} has {key!r} in it, which is no key")
    return [check_text(name, key) for key in keys]


def check_workers(name: str, value: object) -> list[str] | None:
    """Names or addresses of workers: one, or several; None means no choice.

    Raises:
        TypeError, ValueError: it is something else.
    """
    if value is None:
        return None
    what = "worker names or addresses"
    names = [value] if isinstance(value, (str, int)) else check_several(name, value, what)
    if any(isinstance(one, bool) or not isinstance(one, (str, int)) for one in names):
        raise TypeError(f"{name}={value!r} is not a list of {what}")
    return [check_text(name, str(one)) for one in names]


def check_resources(value: object) -> dict[str, float]:
    """``resources``: how much of what, such as ``{"GPU": 1}``; None is nothing.

    Raises:
        TypeError, ValueError: it is something else, or an amount is out of range.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"resources={value!r} is not a dict like {{'GPU': 1}}")
    amounts = {}
    for name, amount in value.items():
        if not isinstance(name, str) or isinstance(amount, bool) or not isinstance(amount, numbers.Real):
            raise TypeError(f"resources={value!r} does not map names to numbers, like {{'GPU': 1}}")
        number = float(amount)
        if not 0 <= number < float("inf"):
            raise ValueError(f"resources[{name!r}]={amount!r} is out of range; give a number of at least 0")
        amounts[check_text("resources", name)] = number
    return amounts


def check_choice(name: str, value: T, *allowed: T) -> T:
    """One of a few.

    Raises:
        ValueError: it is none of them.
    """
    if not any(type(value) is type(one) and value == one for one in allowed):
        raise ValueError(f"{name}={value!r} is not allowed; give {' or '.join(map(repr, allowed))}")
    return value


def check_path(name: str, value: object) -> str:
    """The path of a file.

    Raises:
        TypeError, ValueError: it is no path.
    """
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(path, str):
        raise TypeError(f"{name}={value!r} is not a path")
    if not path or "\0" in path:
        raise ValueError(f"{name}={value!r} is not the path of a file")
    return path
