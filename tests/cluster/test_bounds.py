"""How many workers cores and memory are."""

from __future__ import annotations

from typing import Any

import pytest

from nbcluster.cluster.bounds import limits_for, workers_for
from tests.support.fake_cluster import make_view, make_worker

VIEW = make_view(threads_per_worker=4)  # workers of 1 GiB each
NONE: dict[str, Any] = {"minimum_cores": None, "maximum_cores": None, "minimum_memory": None, "maximum_memory": None}


@pytest.mark.parametrize(
    ("n", "memory", "cores", "workers"),
    [
        (3, None, None, 3),
        (None, None, 8, 2),
        (None, None, 9, 3),
        (None, "1.5 GiB", None, 2),
        (None, 0, None, 0),
        (None, None, 0, 0),
        (1, "3 GiB", 4, 3),
        (7, "3 GiB", 4, 7),
    ],
)
def test_so_many_that_all_that_was_asked_for_is_reached(n: Any, memory: Any, cores: Any, workers: int) -> None:
    assert workers_for(VIEW, n, memory, cores) == workers


def test_limits_are_the_tightest_of_those_given() -> None:
    limits: dict[str, Any] = {**NONE, "minimum_cores": 9, "maximum_cores": 23, "maximum_memory": "8 GiB"}
    assert limits_for(VIEW, 1, 10, **limits) == (3, 5)
    assert limits_for(VIEW, 4, None, **{**NONE, "minimum_memory": "2.5 GiB"}) == (4, None)
    assert limits_for(VIEW, 0, None, **NONE) == (0, None)


def test_memory_says_nothing_of_workers_without_a_limit() -> None:
    view = make_view([make_worker(0, memory_limit=None)])
    with pytest.raises(ValueError, match=r"memory='1GiB' needs workers that have a memory limit"):
        workers_for(view, None, "1GiB", None)


@pytest.mark.parametrize(("name", "value"), [("cores", -1), ("cores", 1.5), ("memory", -1), ("memory", "much")])
def test_what_is_no_number_of_them_is_refused_by_its_name(name: str, value: Any) -> None:
    given = {"memory": None, "cores": None, name: value}
    with pytest.raises((TypeError, ValueError), match=name):
        workers_for(VIEW, None, **given)
