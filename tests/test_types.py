"""The shared vocabulary."""

from __future__ import annotations

import pytest

from nbcluster.types import key_prefix


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        ("inc-d1f1", "inc"),
        ("sum-aggregate-d1f1", "sum-aggregate"),
        ("inc", "inc"),
        ("", ""),
        ("-d1f1", ""),
        ("('sum-aggregate-d1f1', 0, 1)", "sum-aggregate"),
        ("('range', 0)", "range"),
        ("('", ""),
        ("abs-e1ebf4e0-c0ab-4180-9713-ccd66913ac09", "abs"),
        ("e1ebf4e0-c0ab-4180-9713-ccd66913ac09", "e1ebf4e0-c0ab-4180-9713"),
        ("(1, 2)", "(1, 2)"),
        ("train-model", "train-model"),
        ("train-model-3", "train-model"),
        ("train-deadbeef", "train"),
        ("('-d1f1', 0)", ""),
    ],
)
def test_a_key_begins_with_the_name_of_its_function(key: str, prefix: str) -> None:
    assert key_prefix(key) == prefix
