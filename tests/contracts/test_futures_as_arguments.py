from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.gates import Gate, Mishap, add, at_gate, fail_with, identity, inc


def test_a_future_becomes_its_result(client: Any) -> None:
    first = client.submit(inc, 1)
    assert client.submit(add, first, 10).result() == 12
    assert client.submit(add, x=first, y=first).result() == 4


def test_futures_are_found_in_containers(client: Any) -> None:
    one, two = client.map(inc, range(2))
    assert client.submit(identity, [one, two]).result() == [1, 2]
    assert client.submit(identity, (one, two)).result() == (1, 2)
    assert client.submit(identity, {"a": one, "b": two}).result() == {"a": 1, "b": 2}
    assert client.submit(identity, {one, two}).result() == {1, 2}


def test_futures_are_found_deep_in_containers(client: Any) -> None:
    one, two = client.map(inc, range(2))
    nested = {"list": [one, [two, (one,)]], "dict": {"x": {"y": two}}, "plain": 5}
    expected = {"list": [1, [2, (1,)]], "dict": {"x": {"y": 2}}, "plain": 5}
    assert client.submit(identity, nested).result() == expected
    assert client.submit(identity, x=nested).result() == expected


def test_a_chain_runs_to_its_end(client: Any) -> None:
    future = client.submit(inc, 0)
    for _ in range(200):
        future = client.submit(inc, future)
    assert future.result() == 201


def test_a_tree_of_sums_adds_up(client: Any) -> None:
    layer = client.map(inc, range(32))
    while len(layer) > 1:
        layer = client.map(add, layer[::2], layer[1::2])
    assert layer[0].result() == sum(range(1, 33))


def test_a_task_waits_for_its_arguments(client: Any, gate: Gate) -> None:
    second = client.submit(inc, client.submit(at_gate, gate, 1))
    other = client.submit(inc, 1, pure=False)
    assert other.result() == 2
    assert second.status == "pending"
    gate.open()
    assert second.result() == 2


def test_an_argument_may_be_forgotten_before_the_task_runs(client: Any, gate: Gate) -> None:
    first = client.submit(at_gate, gate, 1)
    second = client.submit(inc, first)
    del first
    gate.open()
    assert second.result() == 2


def test_the_error_of_an_argument_is_the_error_of_the_task(client: Any) -> None:
    bad = client.submit(fail_with, "below")
    above = client.submit(inc, client.submit(inc, [bad]))
    with pytest.raises(Mishap, match="below"):
        above.result()
    assert above.status == "error"


def test_a_future_used_in_many_tasks_is_computed_once(client: Any) -> None:
    first = client.submit(inc, 1)
    assert client.gather(client.map(add, [first] * 20, range(20))) == [2 + n for n in range(20)]


def test_large_results_go_from_worker_to_worker(client: Any) -> None:
    workers = list(client.scheduler_info()["workers"])
    parts = [client.submit(bytes, 300_000 + n, workers=[w]) for n, w in enumerate(workers)]
    for worker in workers:
        assert client.submit(_total, parts, workers=[worker], pure=False).result() == 600_001


def _total(parts: list[bytes]) -> int:
    return sum(map(len, parts))
