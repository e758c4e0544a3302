"""What dask.annotate says of the tasks of one call, and what the call's keywords say before it."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import dask
import pytest

from nbcluster.client import annotating
from nbcluster.client.annotating import Annotated
from nbcluster.client.submission import options
from nbcluster.errors import SerializationError
from nbcluster.protocol.messages import TaskOptions


def test_nothing_said_leaves_the_options_as_they_are() -> None:
    given = options(priority=3)
    annotated = Annotated(given, {})
    assert not annotated.differ
    assert annotated.of("a-1") is annotated.options is given


def test_what_is_said_counts_where_no_keyword_does() -> None:
    annotated = Annotated(options(priority=3), {"priority": 1, "retries": 2})
    assert annotated.options == TaskOptions(priority=3, retries=2)


def test_a_function_is_asked_for_each_key() -> None:
    annotated = Annotated(options(), {"priority": len, "retries": 1})
    assert annotated.differ
    assert [annotated.of(key) for key in ("a", "abc")] == [
        TaskOptions(priority=1, retries=1),
        TaskOptions(priority=3, retries=1),
    ]


def test_allowing_others_than_all_workers_means_nothing() -> None:
    assert Annotated(options(), {"allow_other_workers": True}).options == options()
    said = {"allow_other_workers": True, "workers": ["ada"]}
    assert Annotated(options(), said).options == TaskOptions(workers=["ada"], allow_other_workers=True)


def test_what_nobody_here_heeds_travels_along() -> None:
    annotated = Annotated(options(), {"colour": "red", "of": str.upper})
    assert annotated.others("a") == {"colour": "red", "of": "A"}
    assert pickle.loads(annotated.of("a").annotations) == {"colour": "red", "of": "A"}


@pytest.mark.parametrize(
    ("said", "error"),
    [({"retries": -1}, ValueError), ({"resources": 7}, TypeError), ({"x": threading.Lock()}, SerializationError)],
)
def test_what_is_not_allowed_is_refused_at_the_call(said: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        Annotated(options(), said)


def test_what_is_set_aside_is_in_force_again_afterwards() -> None:
    with dask.annotate(retries=2):
        assert annotating.in_force()["retries"] == 2
        with annotating.set_aside():
            assert not annotating.in_force()
        assert annotating.in_force()["retries"] == 2
