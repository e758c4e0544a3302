"""What users give is refused at once, by its name and its value, or taken as what it is used for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbcluster import arguments
from nbcluster.client.future import Future
from nbcluster.client.gathering import futures_in
from nbcluster.client.states import FutureState


def whole(name: str, value: object) -> int:
    return arguments.check_whole(name, value, least=1)


def choice(name: str, value: object) -> object:
    return arguments.check_choice(name, value, "raise", False)


def several(name: str, value: object) -> list[Any]:
    return arguments.check_several(name, value, "names")


WRONG: list[tuple[Callable[[str, Any], object], list[Any]]] = [
    (arguments.check_flag, [None, 0, 1, "yes", np.array(1)]),
    (arguments.check_optional_flag, [0, 1, "yes"]),
    (whole, [None, True, 0, -1, 1.0, "1", 2**63, float("nan"), [1], int]),
    (arguments.check_worker_count, [None, True, 0, -1, 1.0, "1"]),
    (arguments.check_text, [None, 5, b"x", "\udc80"]),
    (arguments.check_key, [None, 5, b"x", "", "\udc80"]),
    (arguments.check_keys, [5, b"x", [5], "\udc80", [None]]),
    (arguments.check_workers, [5.5, True, [5.5], [True], [None], object, b"x", "\udc80"]),
    (several, [None, 5, "ada", b"ada"]),
    (choice, [None, "ignore", 0, True, ["raise"], {}]),
    (arguments.check_path, [None, 5, "", "a\0b", b"x"]),
    (futures_in, [None, 5, "a", [5], {"x": "a"}, [[], [None]]]),
]


@pytest.mark.parametrize(
    ("check", "value"),
    [pytest.param(check, value, id=f"{check.__name__}-{value!r}") for check, values in WRONG for value in values],
)
def test_what_is_wrong_is_named(check: Callable[[str, Any], object], value: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        check("speed", value)
    assert str(refused.value).startswith(f"speed={value!r} ")


@pytest.mark.parametrize(
    ("check", "given", "taken"),
    [
        (whole, np.int64(3), 3),
        (whole, 2**63 - 1, 2**63 - 1),
        (arguments.check_text, "", ""),
        (arguments.check_keys, "a", ["a"]),
        (arguments.check_keys, ("a", "b"), ["a", "b"]),
        (arguments.check_workers, None, None),
        (arguments.check_workers, "ada", ["ada"]),
        (arguments.check_workers, 0, ["0"]),
        (arguments.check_workers, ["ada", 1], ["ada", "1"]),
        (arguments.check_workers, {"ada": 1}, ["ada"]),
        (arguments.check_workers, set(), []),
        (choice, False, False),
        (arguments.check_path, Path("a"), "a"),
    ],
)
def test_what_is_right_is_taken_as_what_it_is_used_for(
    check: Callable[[str, Any], object], given: Any, taken: Any
) -> None:
    assert check("speed", given) == taken
    assert type(check("speed", given)) is type(taken)


def future(key: str) -> Future:
    return Future._of(FutureState(key), None)  # type: ignore[arg-type]


def test_futures_are_found_in_containers() -> None:
    a, b = future("a"), future("b")
    assert futures_in("futures", a) == [a]
    assert futures_in("futures", [a, {"x": (b,)}]) == [a, b]
    assert futures_in("futures", [[], {}]) == []
    assert arguments.check_keys("keys", a) == ["a"]
    assert arguments.check_keys("keys", [a, "b"]) == ["a", "b"]
