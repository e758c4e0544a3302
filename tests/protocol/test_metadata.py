"""The names of what is published: text on the wire, whatever they are here."""

from __future__ import annotations

from typing import Any

import pytest

from nbcluster.protocol.metadata import decode, encode, path_of

NAMES: list[Any] = ["ada", "", "it's", 5, 1.5, True, b"bytes", ("ada", 5), ("a", ("b", None)), ()]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_name_comes_back_as_it_was(name: Any) -> None:
    assert decode(encode(name)) == name
    assert type(decode(encode(name))) is type(name)


def test_names_that_look_alike_are_told_apart() -> None:
    assert len({encode(name) for name in ("5", 5, 5.0, ("5",), b"5")}) == 5


@pytest.mark.parametrize("name", [None, ["ada"], {"ada"}, object, ("ada", ["bob"])], ids=repr)
def test_what_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(TypeError, match=r"name=.* is not a string, a number, or a tuple of such"):
        encode(name)


def test_metadata_is_found_by_one_name_or_by_a_path_of_them() -> None:
    assert path_of("a", "keys") == ["'a'"]
    assert path_of(["a", 1], "keys") == ["'a'", "1"]
    with pytest.raises(ValueError, match=r"keys=\[\] is empty"):
        path_of([], "keys")
