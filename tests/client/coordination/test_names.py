"""Names of what clients share, as text."""

from __future__ import annotations

from typing import Any

import pytest

from nbcluster.client.coordination.names import check_name, text_of

NAMES = ["1", 1, 1.0, True, b"1", "('a', 1)", ("a", 1), ("a", "1"), (("a",), 1), (), ""]


def test_a_list_is_the_same_name_as_the_tuple() -> None:
    assert text_of(["a", [1, 2]]) == text_of(("a", (1, 2)))


def test_different_names_are_different_texts_and_a_string_is_its_own() -> None:
    assert len({text_of(name) for name in NAMES}) == len(NAMES)
    assert text_of("lock") == "lock"


@pytest.mark.parametrize("name", NAMES)
def test_strings_numbers_and_tuples_of_such_are_names(name: Any) -> None:
    if name != "":
        check_name("name", name)


@pytest.mark.parametrize("name", [None, {}, {1}, object, ("a", object()), [print]])
def test_anything_else_is_none(name: Any) -> None:
    with pytest.raises(TypeError, match="is not a string, a number, or a tuple of such"):
        check_name("name", name)
