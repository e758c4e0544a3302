from __future__ import annotations

import queue
from typing import Any, NamedTuple

import pytest

from tests.contracts.gates import Gate, Mishap, at_gate, fail_with, inc


def test_gather_keeps_the_structure(client: Any) -> None:
    one, two, three = client.map(inc, range(3))
    assert client.gather(one) == 1
    assert client.gather([one, two]) == [1, 2]
    assert client.gather((one, two)) == (1, 2)
    assert client.gather({one, two}) == {1, 2}
    assert client.gather({"a": one, "b": [two, {"c": (three,)}]}) == {"a": 1, "b": [2, {"c": (3,)}]}


def test_gather_of_an_iterator_is_an_iterator_over_the_results(client: Any, gate: Gate) -> None:
    done, pending = client.submit(inc, 1), client.submit(at_gate, gate, "through")
    results = client.gather(iter([done, [done, 5], pending]))
    assert next(results) == 2
    assert next(results) == [2, 5]
    assert pending.status == "pending"
    gate.open()
    assert list(results) == ["through"]


def test_each_of_an_iterator_is_gathered_by_itself(client: Any) -> None:
    good, bad = client.submit(inc, 1), client.submit(fail_with, "boom")
    assert list(client.gather(iter([good, bad, [bad, good]]), errors="skip")) == [2, None, [2]]
    results = client.gather(future for future in (good, bad))
    assert next(results) == 2
    with pytest.raises(Mishap, match="boom"):
        next(results)


def test_gather_takes_no_queue(client: Any) -> None:
    with pytest.raises(TypeError, match=r"[Qq]ueue"):
        client.gather(queue.Queue())


def test_what_is_no_future_stays_as_it_is(client: Any) -> None:
    future = client.submit(inc, 1)
    assert client.gather([future, 5, "text", None]) == [2, 5, "text", None]
    assert client.gather([]) == []
    assert client.gather({}) == {}


def test_the_same_future_may_be_there_twice(client: Any) -> None:
    future = client.submit(inc, 1)
    assert client.gather([future, future, [future]]) == [2, 2, [2]]


def test_gather_raises_what_a_task_raised(client: Any) -> None:
    futures = [client.submit(inc, 1), client.submit(fail_with, "boom"), client.submit(inc, 2)]
    with pytest.raises(Mishap, match="boom"):
        client.gather(futures)


def test_gather_raises_without_waiting_for_the_others(client: Any, gate: Gate) -> None:
    futures = [client.submit(at_gate, gate), client.submit(fail_with, "at once")]
    with pytest.raises(Mishap, match="at once"):
        client.gather(futures)


def test_gather_raises_at_once_what_had_erred_before(client: Any, gate: Gate) -> None:
    bad, slow = client.submit(fail_with, "before"), client.submit(at_gate, gate)
    bad.exception()
    for futures in ([bad, slow], [slow, bad]):
        with pytest.raises(Mishap, match="before"):
            client.gather(futures)
    assert slow.status == "pending"


def test_gather_can_skip_what_erred(client: Any) -> None:
    good, bad = client.submit(inc, 1), client.submit(fail_with, "boom")
    assert client.gather([good, bad, good], errors="skip") == [2, 2]
    assert client.gather([bad], errors="skip") == []


def test_gather_raises_for_a_cancelled_future(api: Any, client: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate)
    future.cancel()
    with pytest.raises(api.CancelledError):
        client.gather([future])


def test_gather_with_large_results(client: Any) -> None:
    futures = client.map(_large, range(4))
    assert [len(part) for part in client.gather(futures)] == [300_000] * 4
    assert client.gather(futures)[3][:1] == b"\x03"


@pytest.mark.parametrize("direct", [True, False, None])
def test_results_are_the_same_by_whichever_way_they_come(client: Any, direct: bool | None) -> None:
    futures = client.map(_large, range(2)) + client.map(inc, range(2))
    gathered = client.gather(futures, direct=direct)
    assert [gathered[0][:1], gathered[1][:1], *gathered[2:]] == [b"\x00", b"\x01", 1, 2]


def _large(number: int) -> bytes:
    return bytes([number]) * 300_000


@pytest.mark.differs("bad input")
def test_a_wrong_word_for_errors_is_refused(client: Any) -> None:
    with pytest.raises(ValueError, match="errors="):
        client.gather([client.submit(inc, 1)], errors="ignore")


def test_outside_of_lists_none_stands_for_what_was_skipped(client: Any) -> None:
    good, bad = client.submit(inc, 1), client.submit(fail_with, "boom")
    assert client.gather({"good": good, "bad": bad}, errors="skip") == {"good": 2, "bad": None}
    assert client.gather((bad, good), errors="skip") == (None, 2)
    assert client.gather({"some": [bad, good]}, errors="skip") == {"some": [None, 2]}
    assert client.gather(bad, errors="skip") is None


class Point(NamedTuple):
    x: Any
    y: Any


def test_named_tuples_stay_what_they_are(client: Any) -> None:
    one, two = client.map(inc, range(2))
    assert client.gather(Point(one, [two])) == Point(1, [2])
    assert type(client.gather({"point": Point(one, two)})["point"]) is Point
