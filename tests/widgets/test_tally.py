from __future__ import annotations

from typing import Any

import pytest

from nbcluster.types import key_prefix
from nbcluster.widgets.tally import Tally


class FakeFuture:
    def __init__(self, key: str, status: str = "pending") -> None:
        self.key = key
        self.status = status


def test_futures_are_counted_by_group_and_state() -> None:
    futures = [FakeFuture("f-1", "finished"), FakeFuture("f-2", "error"), FakeFuture("g-1", "cancelled")]
    more = FakeFuture("g-2")
    tally = Tally([futures, {"x": more}], key_prefix)
    assert {name: count.text() for name, count in tally.groups.items()} == {
        "f": "2 of 2, 1 failed",
        "g": "1 of 2, 1 cancelled",
    }
    assert not tally.done
    more.status = "finished"
    assert tally.look()
    assert tally.all.text() == "4 of 4, 1 failed, 1 cancelled"


def test_time_stops_with_the_last_future() -> None:
    tally = Tally([FakeFuture("f-1", "finished")], key_prefix)
    assert tally.seconds == tally.seconds


def test_a_future_is_counted_once() -> None:
    future = FakeFuture("f-1")
    assert Tally([future, (future,)], key_prefix).all.total == 1


def test_a_future_that_nobody_holds_no_longer_counts() -> None:
    futures = [FakeFuture("f-1"), FakeFuture("f-2", "finished")]
    kept = futures[1]
    tally = Tally(futures, key_prefix)
    futures.clear()
    assert tally.look()
    assert tally.all.text() == "1 of 1"
    assert kept.status == "finished"


def test_what_is_done_can_be_left_out() -> None:
    futures = [FakeFuture("f-1", "finished"), FakeFuture("f-2")]
    assert Tally(futures, key_prefix, complete=False).all.total == 1


def test_nothing_to_count_is_done() -> None:
    assert Tally([], key_prefix).done


@pytest.mark.parametrize("wrong", [3, "text", [None]])
def test_what_is_no_future_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="progress\\(\\) takes futures"):
        Tally(wrong, key_prefix)


class FakeCollection:
    """A collection of dask's: persisted, its graph consists of futures."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __dask_graph__(self) -> dict[str, Any]:
        return {f"part-{number}": part for number, part in enumerate(self.parts)}


def test_a_persisted_collection_is_its_futures() -> None:
    futures = [FakeFuture("f-1", "finished"), FakeFuture("f-2")]
    assert Tally(([FakeCollection(*futures)],), key_prefix).all.text() == "1 of 2"


def test_a_collection_that_was_not_persisted_has_no_futures() -> None:
    with pytest.raises(TypeError, match=r"persist\(\) it first"):
        Tally((FakeCollection(("add", 1, 2)),), key_prefix)
