from __future__ import annotations

import gc
import pickle
import threading
from typing import Any

import pytest

from tests.contracts.gates import Gate, at_gate, fail_with, identity, inc
from tests.support.eventually import eventually


def test_a_future_tells_its_status(client: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate, 5)
    assert future.status == "pending"
    assert not future.done()
    gate.open()
    assert future.result() == 5
    assert future.status == "finished"
    assert future.done()
    assert not future.cancelled()


def test_its_repr_tells_status_type_and_key(client: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate, 5)
    assert repr(future) == f"<Future: pending, key: {future.key}>"
    gate.open()
    future.result()
    assert repr(future) == f"<Future: finished, type: int, key: {future.key}>"
    bad = client.submit(fail_with, "boom")
    bad.exception()
    assert repr(bad) == f"<Future: error, key: {bad.key}>"


def test_it_shows_in_a_notebook(client: Any) -> None:
    future = client.submit(inc, 1, key="<script>-1")
    future.result()
    html = future._repr_html_()
    assert "finished" in html
    assert "<script>" not in html.replace("<b>", "")


def test_it_knows_the_type_of_its_result(client: Any) -> None:
    number, text = client.submit(inc, 1), client.submit(str, 5)
    client.gather([number, text])
    assert number.type is int
    assert text.type is str


def test_the_type_is_not_known_before_the_result(client: Any, gate: Gate) -> None:
    assert client.submit(at_gate, gate).type is None


def test_it_knows_its_client(client: Any) -> None:
    future = client.submit(inc, 1)
    assert future.client is client
    assert future.executor is client


def test_futures_compare_by_identity(client: Any) -> None:
    one, two = client.submit(inc, 1), client.submit(inc, 1)
    assert one.key == two.key
    assert one == one
    assert len({one, two, one}) == 2


def test_a_pickled_future_is_its_key(client: Any) -> None:
    future = client.submit(inc, 1)
    copy = pickle.loads(pickle.dumps(future))
    assert copy.key == future.key
    copy.bind_client(client)
    assert copy.client is client
    assert copy.result() == 2


@pytest.mark.differs("pickled futures")
def test_an_unpickled_future_belongs_to_the_current_client(client: Any) -> None:
    future = client.submit(inc, 1)
    copy = pickle.loads(pickle.dumps(future))
    assert copy.client is client
    assert copy.result() == 2


def test_a_future_can_be_made_from_its_key(api: Any, client: Any) -> None:
    future = client.submit(inc, 1)
    copy = api.Future(future.key, client)
    assert copy.result() == 2


def test_callbacks_are_called_with_the_future(client: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate, 5)
    called: list[Any] = []
    future.add_done_callback(lambda done: called.append((done, done.result())))
    gate.open()
    eventually(lambda: called)
    assert called == [(future, 5)]


def test_a_callback_that_comes_late_is_called_too(client: Any) -> None:
    future = client.submit(inc, 1)
    future.result()
    event = threading.Event()
    future.add_done_callback(lambda _: event.set())
    assert event.wait(20)


def test_callbacks_are_called_for_errors_and_cancellations(client: Any, gate: Gate) -> None:
    statuses: list[str] = []
    bad, slow = client.submit(fail_with, "boom"), client.submit(at_gate, gate)
    for future in (bad, slow):
        future.add_done_callback(lambda done: statuses.append(done.status))
    bad.exception()
    slow.cancel()
    eventually(lambda: len(statuses) == 2)
    assert sorted(statuses) == ["cancelled", "error"]


def test_a_callback_keeps_its_future(client: Any, gate: Gate) -> None:
    called: list[Any] = []
    client.submit(at_gate, gate, 5).add_done_callback(lambda done: called.append(done.result()))
    gate.wait_for_visitors()
    gc.collect()
    gate.open()
    eventually(lambda: called)
    assert called == [5]


def test_callbacks_may_use_the_client(client: Any) -> None:
    results: list[Any] = []
    future = client.submit(inc, 1)
    future.add_done_callback(lambda done: results.append(client.submit(inc, done).result()))
    eventually(lambda: results)
    assert results == [3]


def test_a_released_future_is_of_no_use(api: Any, client: Any) -> None:
    future = client.submit(inc, 1, pure=False)
    future.result()
    future.release()
    with pytest.raises(api.CancelledError):
        future.result(timeout=20)


def test_other_futures_of_the_key_survive_a_release(client: Any) -> None:
    one, two = client.submit(inc, 1), client.submit(inc, 1)
    one.result()
    one.release()
    assert two.result() == 2


def test_futures_of_finds_them_in_containers(api: Any, client: Any) -> None:
    one, two = client.map(inc, range(2))
    found = api.futures_of([one, {"a": (two,)}, one, 5], client=client)
    assert {future.key for future in found} == {one.key, two.key}


def test_a_future_of_a_future_in_a_task(client: Any) -> None:
    inner = client.submit(inc, 1)
    assert client.submit(identity, client.submit(identity, inner)).result() == 2


def test_a_traceback_is_waited_for(client: Any) -> None:
    future = client.submit(fail_with, "boom", pure=False)
    assert future.traceback(timeout=30) is not None
    assert client.submit(inc, 1).traceback(timeout="30 s") is None


def test_a_future_that_is_cancelled_knows_the_reason(api: Any, client: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate, 1)
    future.cancel(reason="enough", msg="The best one is found.")
    with pytest.raises(api.CancelledError) as caught:
        future.result(timeout=30)
    assert "enough" in str(caught.value)
