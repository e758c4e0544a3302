from __future__ import annotations

import gc
import traceback
from typing import Any

import pytest

from tests.contracts.gates import Gate, Mishap, at_gate, fail_with, inc
from tests.support.eventually import eventually


def test_every_future_comes_once(api: Any, client: Any) -> None:
    futures = client.map(inc, range(10))
    assert sorted(future.result() for future in api.as_completed(futures)) == list(range(1, 11))


def test_they_come_in_the_order_in_which_they_finish(api: Any, client: Any, gate: Gate) -> None:
    slow, fast = client.submit(at_gate, gate, "slow"), client.submit(inc, 1, pure=False)
    completed = api.as_completed([slow, fast])
    assert next(completed) is fast
    gate.open()
    assert next(completed) is slow
    with pytest.raises(StopIteration):
        next(completed)


def test_results_can_come_along(api: Any, client: Any) -> None:
    futures = client.map(inc, range(5))
    pairs = dict(api.as_completed(futures, with_results=True))
    assert [pairs[future] for future in futures] == [1, 2, 3, 4, 5]


def test_an_error_is_raised_with_results(api: Any, client: Any) -> None:
    completed = api.as_completed([client.submit(fail_with, "boom")], with_results=True)
    with pytest.raises(Mishap, match="boom"):
        next(completed)


def test_an_erred_future_comes_as_a_future_without_results(api: Any, client: Any) -> None:
    [future] = api.as_completed([client.submit(fail_with, "boom")])
    assert future.status == "error"


def test_more_can_be_added_on_the_way(api: Any, client: Any) -> None:
    completed = api.as_completed(client.map(inc, [1]))
    seen = []
    for future in completed:
        seen.append(future.result())
        if len(seen) == 1:
            completed.add(client.submit(inc, 10))
        elif len(seen) == 2:
            completed.update(client.map(inc, [20, 30]))
    assert seen[:2] == [2, 11]
    assert sorted(seen[2:]) == [21, 31]


def test_the_same_future_added_twice_comes_twice(api: Any, client: Any) -> None:
    future = client.submit(inc, 1)
    assert list(api.as_completed([future, future])) == [future, future]


def test_count_says_how_many_are_to_come(api: Any, client: Any) -> None:
    completed = api.as_completed(client.map(inc, range(3)))
    assert completed.count() == 3
    assert not completed.is_empty()
    next(completed)
    assert completed.count() == 2
    list(completed)
    assert completed.count() == 0
    assert completed.is_empty()


def test_batches_hold_all_that_is_done(api: Any, client: Any, gate: Gate) -> None:
    fast, slow = client.map(inc, range(3), pure=False), client.submit(at_gate, gate, 100)
    api.wait(fast)
    batches = api.as_completed([*fast, slow]).batches()
    seen = [next(batches)]
    while sum(map(len, seen)) < 3:
        seen.append(next(batches))
    gate.open()
    seen.extend(batches)
    assert seen[-1] == [slow]
    assert sorted(future.result() for batch in seen for future in batch) == [1, 2, 3, 100]


def test_batches_can_have_results(api: Any, client: Any) -> None:
    batches = list(api.as_completed(client.map(inc, range(3)), with_results=True).batches())
    assert sorted(result for batch in batches for _, result in batch) == [1, 2, 3]


def test_a_batch_that_does_not_block_may_be_empty(api: Any, client: Any, gate: Gate) -> None:
    completed = api.as_completed([client.submit(at_gate, gate)])
    assert completed.next_batch(block=False) == []
    assert not completed.has_ready()
    gate.open()
    assert len(completed.next_batch()) == 1


def test_a_cancelled_future_comes_too(api: Any, client: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate)
    completed = api.as_completed([future])
    future.cancel()
    assert [one.status for one in completed] == ["cancelled"]


def test_nothing_to_wait_for_ends_at_once(api: Any, client: Any) -> None:
    assert list(api.as_completed([])) == []
    assert list(api.as_completed()) == []


def test_it_gives_up_after_its_timeout(api: Any, client: Any, gate: Gate) -> None:
    with pytest.raises(api.TimeoutError):
        list(api.as_completed([client.submit(at_gate, gate)], timeout=0.05))


@pytest.mark.differs("as_completed timeout")
def test_its_timeout_says_how_many_were_not_done(api: Any, client: Any, gate: Gate) -> None:
    futures = [client.submit(at_gate, gate), client.submit(inc, 1)]
    with pytest.raises(api.TimeoutError, match=r"1 future was not done in time: \w+"):
        list(api.as_completed(futures, timeout=0.1))


def test_clear_forgets_them(api: Any, client: Any, gate: Gate) -> None:
    completed = api.as_completed([client.submit(at_gate, gate)])
    completed.clear()
    assert completed.is_empty()
    completed.add(client.submit(inc, 1))
    assert [future.result() for future in completed] == [2]


def test_what_was_cleared_never_comes(api: Any, client: Any, gate: Gate) -> None:
    slow = client.submit(at_gate, gate)
    completed = api.as_completed([slow])
    completed.clear()
    gate.open()
    slow.result()
    completed.add(client.submit(inc, 1))
    assert [future.result() for future in completed] == [2]


def test_it_keeps_the_futures_that_nobody_else_holds(api: Any, client: Any, gate: Gate) -> None:
    completed = api.as_completed(client.map(at_gate, [gate] * 2, range(2)))
    gate.wait_for_visitors(2)
    gc.collect()
    gate.open()
    assert sorted(future.result() for future in completed) == [0, 1]


def test_what_is_no_future_is_refused(api: Any, client: Any) -> None:
    with pytest.raises(TypeError):
        api.as_completed([1, 2])


def test_with_results_errors_can_come_along(api: Any, client: Any) -> None:
    futures = [client.submit(fail_with, "boom"), client.submit(inc, 1)]
    pairs = dict(api.as_completed(futures, with_results=True, raise_errors=False))
    assert pairs[futures[1]] == 2
    assert "boom" in str(pairs[futures[0]])


def test_what_is_ready_is_said(api: Any, client: Any) -> None:
    futures = client.map(inc, range(2), pure=False)
    api.wait(futures)
    completed = api.as_completed(futures)
    eventually(completed.has_ready, "the futures to be ready")
    assert not completed.is_empty()
    assert len(completed.next_batch() + completed.next_batch(block=False)) == 2


def test_an_error_comes_instead_of_a_result_if_it_is_not_to_be_raised(api: Any, client: Any) -> None:
    bad, good = client.submit(fail_with, "boom"), client.submit(inc, 1)
    pairs = dict(api.as_completed([bad, good], loop=None, with_results=True, raise_errors=False))
    assert pairs[good] == 2
    assert "boom" in repr(pairs[bad])


def test_next_is_a_method_too(api: Any, client: Any) -> None:
    completed = api.as_completed([client.submit(inc, 1)])
    assert completed.next().result() == 2
    with pytest.raises(StopIteration):
        completed.next()


def test_an_error_that_comes_along_is_as_sys_exc_info_gives_it(api: Any, client: Any) -> None:
    bad = client.submit(fail_with, "boom")
    [(_, (kind, error, trace))] = api.as_completed([bad], with_results=True, raise_errors=False)
    assert kind is Mishap
    assert isinstance(error, Mishap)
    assert traceback.extract_tb(trace)[-1].name == "fail_with"


@pytest.mark.parametrize("raise_errors", [True, False])
def test_what_was_cancelled_comes_with_its_error(api: Any, client: Any, gate: Gate, raise_errors: bool) -> None:
    future = client.submit(at_gate, gate)
    future.cancel()
    [(found, error)] = api.as_completed([future], with_results=True, raise_errors=raise_errors)
    assert found is future
    assert isinstance(error, api.CancelledError)


def test_its_repr_counts(api: Any, client: Any, gate: Gate) -> None:
    completed = api.as_completed([client.submit(inc, 1), client.submit(at_gate, gate)])
    eventually(completed.has_ready, "the first future to be ready")
    assert repr(completed) == "<as_completed: waiting=1 done=1>"
