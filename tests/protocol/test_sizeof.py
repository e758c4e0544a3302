"""How large an object is, about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest

from nbcluster.protocol.sizeof import sizeof


class Box:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        (1, 20, 40),
        (b"x" * 1000, 1000, 1100),
        (memoryview(b"x" * 1000), 1000, 1100),
        (np.zeros(1000), 8000, 8200),
        (np.array(["x" * 1000] * 100, dtype=object), 100_000, 120_000),
        ([b"x" * 1000] * 10_000, 10_000_000, 11_000_000),
        (dict.fromkeys(range(1000), b"x" * 1000), 1_000_000, 1_200_000),
        (Box(data=np.zeros(1000)), 8000, 9000),
        (pd.DataFrame({"a": np.zeros(1000), "b": ["x" * 500] * 1000}), 508_000, 620_000),
        (pd.Series(np.zeros(1000)), 8000, 8500),
        (pd.Index(range(10)), 8, 1000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_sizes_are_about_right(value: Any, least: int, most: int) -> None:
    assert least <= sizeof(value) <= most


def test_an_estimate_never_fails() -> None:
    class Broken:
        @property
        def nbytes(self) -> int:
            raise SystemError("no")

    ring: list[Any] = []
    ring.append(ring)
    assert sizeof(Broken()) > 0
    assert sizeof(ring) > 0
    assert sizeof({}) > 0
