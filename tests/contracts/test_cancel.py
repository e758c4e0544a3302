from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.gates import Gate, Tally, add, at_gate, inc, tallied
from tests.support.eventually import eventually


def test_a_cancelled_future_says_so(api: Any, client: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate)
    future.cancel()
    eventually(future.cancelled)
    assert future.done()
    assert future.status == "cancelled"
    with pytest.raises(api.CancelledError):
        future.result()


def test_the_client_cancels_many(client: Any, gate: Gate) -> None:
    futures = client.map(at_gate, [gate] * 5, range(5))
    client.cancel(futures)
    eventually(lambda: all(future.cancelled() for future in futures))


@pytest.mark.differs("cancelled in time")
def test_a_cancelled_task_that_has_not_started_never_runs(client: Any, gate: Gate, tmp_path: Any) -> None:
    tally = Tally(tmp_path / "tally")
    blocker = client.submit(at_gate, gate, workers=[0])
    gate.wait_for_visitors()
    future = client.submit(tallied, tally, workers=[0])
    future.cancel()
    client.scatter("worker 0 has this after it has heard of the cancellation", workers=[0])
    last = client.submit(inc, 1, workers=[0], pure=False)
    gate.open()
    blocker.result()
    assert last.result() == 2
    assert tally.count == 0


def test_what_depends_on_it_is_cancelled_too(api: Any, client: Any, gate: Gate) -> None:
    first = client.submit(at_gate, gate, 1)
    second = client.submit(add, first, 1)
    third = client.submit(add, second, 1)
    first.cancel()
    for future in (second, third):
        with pytest.raises(api.CancelledError):
            future.result(timeout=20)
        assert future.status == "cancelled"


def test_what_it_depends_on_goes_on(client: Any, gate: Gate) -> None:
    first = client.submit(at_gate, gate, 1)
    second = client.submit(add, first, 1)
    second.cancel()
    gate.open()
    assert first.result() == 1


def test_a_finished_future_can_be_cancelled(api: Any, client: Any) -> None:
    future = client.submit(inc, 1, pure=False)
    future.result()
    future.cancel()
    eventually(future.cancelled)
    with pytest.raises(api.CancelledError):
        future.result()


def test_the_cluster_goes_on_after_a_cancellation(client: Any, gate: Gate) -> None:
    futures = client.map(at_gate, [gate] * 10, range(10))
    gate.wait_for_visitors(2)
    client.cancel(futures)
    gate.open()
    assert client.gather(client.map(inc, range(10), pure=False)) == list(range(1, 11))


@pytest.mark.differs("cancelled futures")
def test_the_error_says_who_and_why(api: Any, client: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate)
    client.cancel(future, reason="enough", msg="The best one is found.")
    with pytest.raises(api.FutureCancelledError, match="The best one is found") as caught:
        future.result()
    assert (caught.value.key, caught.value.reason) == (future.key, "enough")
    other = client.submit(at_gate, gate, 2)
    other.cancel()
    with pytest.raises(api.FutureCancelledError, match=r"Cancelled by .*client\.cancel"):
        other.result()


@pytest.mark.differs("cancelled futures")
def test_the_exception_of_a_cancelled_future_is_its_cancellation(api: Any, client: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate)
    future.cancel()
    assert isinstance(future.exception(), api.FutureCancelledError)


@pytest.mark.differs("cancelled futures")
def test_wait_groups_cancelled_futures_by_reason(api: Any, client: Any, gate: Gate) -> None:
    futures = client.map(at_gate, [gate] * 3, range(3))
    client.cancel(futures[:2], reason="enough")
    client.cancel(futures[2:], reason="too late", msg="Ada has gone home.")
    with pytest.raises(api.FuturesCancelledError) as caught:
        api.wait(futures)
    assert {reason: len(group) for reason, group in caught.value.error_groups.items()} == {"enough": 2, "too late": 1}
    first, second = str(caught.value).splitlines()
    keys = f"{futures[0].key}, {futures[1].key}"
    assert first.startswith(f"2 futures ({keys}) cancelled for reason: enough. Cancelled by ")
    assert second == f"1 future ({futures[2].key}) cancelled for reason: too late. Ada has gone home."


@pytest.mark.differs("cancelled again")
def test_what_was_cancelled_can_be_submitted_again_at_once(client: Any) -> None:
    for number in range(50):
        future = client.submit(inc, number)
        future.cancel()
        again = client.submit(inc, number)
        assert again.result(timeout=20) == number + 1
        assert future.cancelled()


def test_another_client_keeps_what_it_wants(api: Any, client: Any, cluster: Any, gate: Gate) -> None:
    with api.Client(cluster, set_as_default=False) as other:
        mine, theirs = client.submit(at_gate, gate, 5), other.submit(at_gate, gate, 5)
        assert mine.key == theirs.key
        assert other.submit(inc, 1).result(timeout=20) == 2, "so the scheduler has heard of theirs"
        gate.wait_for_visitors()
        mine.cancel()
        gate.open()
        assert theirs.result(timeout=20) == 5


def test_force_cancels_for_other_clients_as_well(api: Any, client: Any, cluster: Any, gate: Gate) -> None:
    with api.Client(cluster, set_as_default=False) as other:
        mine = client.submit(at_gate, gate, "both")
        theirs = other.submit(at_gate, gate, "both")
        assert theirs.key == mine.key
        assert other.submit(inc, 1).result(timeout=20) == 2, "so the scheduler has heard of theirs"
        client.cancel(mine, force=True)
        with pytest.raises(api.CancelledError):
            theirs.result(timeout=30)
