from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest

from nbcluster.protocol.typenames import find_type, type_name


class Outer:
    class Inner:
        """A class within a class."""


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (int, "int"),
        (type(None), "NoneType"),
        (collections.OrderedDict, "collections.OrderedDict"),
        (np.ndarray, "numpy.ndarray"),
        (Outer.Inner, f"{__name__}.Outer.Inner"),
    ],
)
def test_types_have_names(kind: type, name: str) -> None:
    assert type_name(kind) == name


@pytest.mark.parametrize("kind", [int, dict, collections.OrderedDict, np.ndarray, Outer, Outer.Inner])
def test_a_type_is_found_by_its_name(kind: Any) -> None:
    assert find_type(type_name(kind)) is kind


@pytest.mark.parametrize("name", ["", "nothing", "no.such.module.Thing", "collections.Nothing", "len", "os.path"])
def test_what_is_no_type_here_is_none(name: str) -> None:
    assert find_type(name) is None


def test_a_class_of_a_function_cannot_be_found() -> None:
    class Local:
        pass

    assert find_type(type_name(Local)) is None
