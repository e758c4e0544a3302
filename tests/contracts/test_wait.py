from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.gates import Gate, at_gate, fail_with, inc


def test_wait_returns_when_all_are_done(api: Any, client: Any) -> None:
    futures = client.map(inc, range(5))
    done, not_done = api.wait(futures)
    assert done == set(futures)
    assert not_done == set()


def test_its_result_has_names(api: Any, client: Any) -> None:
    result = api.wait(client.map(inc, range(2)))
    assert (len(result.done), len(result.not_done)) == (2, 0)


def test_wait_takes_a_single_future(api: Any, client: Any) -> None:
    future = client.submit(inc, 1)
    assert api.wait(future).done == {future}


def test_wait_for_nothing_returns_at_once(api: Any, client: Any) -> None:
    assert api.wait([]) == (set(), set())


def test_one_that_erred_is_done_too(api: Any, client: Any) -> None:
    futures = [client.submit(inc, 1), client.submit(fail_with, "boom")]
    assert api.wait(futures).done == set(futures)
    assert [future.status for future in futures] == ["finished", "error"]


def test_wait_for_the_first(api: Any, client: Any, gate: Gate) -> None:
    slow, fast = client.submit(at_gate, gate), client.submit(inc, 1, pure=False)
    done, not_done = api.wait([slow, fast], return_when="FIRST_COMPLETED")
    assert (done, not_done) == ({fast}, {slow})


def test_one_that_is_done_already_is_the_first(api: Any, client: Any, gate: Gate) -> None:
    slow, fast = client.submit(at_gate, gate), client.submit(inc, 1)
    fast.result()
    assert api.wait([slow, fast], return_when="FIRST_COMPLETED").done == {fast}


@pytest.mark.parametrize("timeout", [0.02, "20ms"])
def test_wait_gives_up_after_its_timeout(api: Any, client: Any, gate: Gate, timeout: Any) -> None:
    future = client.submit(at_gate, gate)
    with pytest.raises(api.TimeoutError):
        api.wait([future], timeout=timeout)
    gate.open()
    api.wait([future], timeout=20)


def test_a_result_gives_up_after_its_timeout_and_comes_later(api: Any, client: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate, "late")
    with pytest.raises(api.TimeoutError):
        future.result(timeout=0.02)
    with pytest.raises(api.TimeoutError):
        future.exception(timeout="20ms")
    gate.open()
    assert future.result(timeout=20) == "late"


@pytest.mark.differs("waiting says for what")
def test_a_timeout_names_what_was_not_done(api: Any, client: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate)
    fast = client.submit(inc, 1)
    with pytest.raises(api.TimeoutError, match=future.key):
        future.result(timeout=0.02)
    fast.result()
    with pytest.raises(api.TimeoutError, match=f"1 of 2 futures.*{future.key}"):
        api.wait([future, fast], timeout=0.02)


def test_waiting_for_cancelled_futures_raises(api: Any, client: Any, gate: Gate) -> None:
    futures = [client.submit(at_gate, gate, n) for n in range(2)]
    client.cancel(futures)
    with pytest.raises(api.CancelledError):
        api.wait(futures)


def test_another_word_for_return_when_is_refused(api: Any, client: Any) -> None:
    with pytest.raises((ValueError, NotImplementedError), match="return_when"):
        api.wait([client.submit(inc, 1)], return_when="SOMETIME")


def test_each_future_is_done_or_not_even_if_another_has_its_key(api: Any, client: Any, gate: Gate) -> None:
    one, same, other = client.submit(inc, 1), client.submit(inc, 1), client.submit(at_gate, gate)
    again = client.submit(at_gate, gate)
    done, not_done = api.wait([one, same, [other, again]], return_when="FIRST_COMPLETED")
    assert (done, not_done) == ({one, same}, {other, again})
    assert set(api.futures_of([one, {"same": same}])) == {one, same}
    assert set(client.futures_of([one, {"same": same}])) == {one, same}


def test_who_gives_futures_one_by_one_is_told_to_give_a_list(api: Any, client: Any) -> None:
    with pytest.raises(TypeError, match=r"(?s)timeout=.* list"):
        api.wait(client.submit(inc, 1), client.submit(inc, 2))
