from __future__ import annotations

import ast
from pathlib import Path

from tests.contracts.differences import DIFFERENCES


def _named_by_tests() -> set[str]:
    names = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "differs":
                [name] = node.args
                names.add(ast.literal_eval(name))
    return names


def test_every_difference_is_tested_and_nothing_else_is_one() -> None:
    assert _named_by_tests() == set(DIFFERENCES)


def test_every_difference_is_told_in_one_sentence() -> None:
    for name, sentence in DIFFERENCES.items():
        assert sentence.endswith("."), name
        assert sentence.count(". ") == 0, name
