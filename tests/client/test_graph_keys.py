"""Keys of dask's graphs as text."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.client.graph_keys import key_text

Part = st.text(max_size=8) | st.integers() | st.binary(max_size=4) | st.floats(allow_nan=False) | st.booleans()
Keys = st.recursive(Part, lambda part: st.lists(part, min_size=1, max_size=4).map(tuple), max_leaves=8)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("sum-d1f1", "sum-d1f1"),
        (("x-d1f1", 0, 1), "('x-d1f1', 0, 1)"),
        (("x",), "('x',)"),
        (("x", ("y", 1.5)), "('x', ('y', 1.5))"),
        (("x", np.int64(3)), "('x', 3)"),
        (5, "5"),
        (b"raw", "b'raw'"),
        ("('x-d1f1', 0, 1)", "\"('x-d1f1', 0, 1)\""),
        ("5", "'5'"),
        ("", "''"),
        ("info", "info"),
        (np.str_("x"), "x"),
    ],
)
def test_keys_have_texts(key: Any, text: str) -> None:
    assert key_text(key) == text
    assert type(key_text(key)) is str


@given(Keys, Keys)
def test_two_keys_have_the_same_text_only_if_they_are_equal(one: Any, other: Any) -> None:
    assert (key_text(one) == key_text(other)) == (one == other)


@given(st.text(max_size=6))
def test_no_string_has_the_text_of_another_kind_of_key(string: str) -> None:
    try:
        other = ast.literal_eval(string)
    except (ValueError, SyntaxError, MemoryError):
        return
    if isinstance(other, (int, float, bytes)) and other == other:
        assert key_text(string) != key_text(other)


@pytest.mark.parametrize("key", [None, ["x"], ("x", None), {"x"}, float("nan"), ("x", [0])])
def test_other_keys_are_refused(key: Any) -> None:
    with pytest.raises(TypeError, match="is not a string, bytes, a number, or a tuple of those"):
        key_text(key)
