from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest

from tests.contracts.gates import Tally, add, echo, inc, tallied


def test_map_runs_the_function_on_each_element_in_order(client: Any) -> None:
    assert client.gather(client.map(inc, range(20))) == list(range(1, 21))


def test_map_takes_several_iterables_and_stops_with_the_shortest(client: Any) -> None:
    assert client.gather(client.map(add, [1, 2, 3], (10, 20), range(5))[:0]) == []
    assert client.gather(client.map(add, [1, 2, 3], (10, 20))) == [11, 22]


def test_keyword_arguments_go_to_every_call(client: Any) -> None:
    assert client.gather(client.map(echo, [1, 2], flag=True)) == [((1,), {"flag": True}), ((2,), {"flag": True})]


def test_map_over_nothing_is_an_empty_list(client: Any) -> None:
    assert client.map(inc, []) == []


def test_a_key_that_is_text_is_a_prefix(client: Any) -> None:
    futures = client.map(inc, [1, 2], key="mine")
    assert all(future.key.startswith("mine-") for future in futures)
    assert client.gather(futures) == [2, 3]


def test_a_list_of_keys_names_each_task(client: Any) -> None:
    futures = client.map(inc, [1, 2], key=["one", "two"])
    assert [future.key for future in futures] == ["one", "two"]
    assert client.gather(futures) == [2, 3]


def test_equal_elements_are_computed_once(client: Any, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")
    futures = client.map(tallied, [tally] * 4, [7, 7, 7, 8])
    assert client.gather(futures) == [7, 7, 7, 8]
    assert len({future.key for future in futures}) == 2
    assert tally.count == 2


def test_impure_elements_are_computed_each(client: Any, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")
    futures = client.map(tallied, [tally] * 4, [7, 7, 7, 8], pure=False)
    assert client.gather(futures) == [7, 7, 7, 8]
    assert len({future.key for future in futures}) == 4
    assert tally.count == 4


def test_map_and_submit_agree_that_a_call_is_the_same_call(client: Any, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")
    one = client.submit(tallied, tally, 5)
    one.result()
    again = client.submit(tallied, tally, 5)
    [mapped] = client.map(tallied, [tally], [5])
    assert (again.result(), mapped.result()) == (5, 5)
    assert one.key == again.key


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_change_nothing_about_the_results(client: Any, batch_size: int) -> None:
    futures = client.map(inc, range(10), batch_size=batch_size)
    assert client.gather(futures) == list(range(1, 11))


def test_futures_are_elements_too(client: Any) -> None:
    first = client.map(inc, range(3))
    assert client.gather(client.map(add, first, first)) == [2, 4, 6]


@pytest.mark.parametrize("source", [iter([1, 2]), (x for x in [1, 2]), Queue()], ids=["iterator", "generator", "queue"])
def test_what_can_be_read_only_once_is_refused(client: Any, source: Any) -> None:
    with pytest.raises(TypeError):
        client.map(inc, source)


@pytest.mark.parametrize("draw", [random.random, np.random.rand])
@pytest.mark.differs("random numbers")
def test_no_task_repeats_the_random_numbers_of_another(client: Any, draw: Callable[[], float]) -> None:
    workers = list(client.scheduler_info()["workers"])
    drawn = [client.submit(draw, pure=False, workers=workers[number % 2]) for number in range(6)]
    assert len(set(client.gather(drawn))) == 6


class Counter:
    """A function that keeps something."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, _: int) -> int:
        self.calls += 1
        return self.calls


@pytest.mark.differs("functions are loaded once")
def test_a_worker_has_one_copy_of_a_function_for_all_its_tasks(client: Any) -> None:
    worker = next(iter(client.scheduler_info()["workers"]))
    count = Counter()
    assert client.gather(client.map(count, range(3), workers=worker)) == [1, 2, 3]
    assert count.calls == 0


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True])
@pytest.mark.differs("bad input")
def test_a_batch_size_out_of_range_is_named(client: Any, batch_size: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="batch_size"):
        client.map(inc, [1], batch_size=batch_size)


@pytest.mark.differs("bad input")
def test_fewer_keys_than_elements_are_refused(client: Any) -> None:
    with pytest.raises(ValueError, match="fewer keys"):
        client.map(inc, [1, 2], key=["one"])
    with pytest.raises(TypeError, match="key=1 is not a non-empty string"):
        client.map(inc, [1, 2], key=[1, 2])


@pytest.mark.differs("bad input")
def test_map_needs_something_to_run_over(client: Any) -> None:
    with pytest.raises(TypeError, match="iterable"):
        client.map(inc)
