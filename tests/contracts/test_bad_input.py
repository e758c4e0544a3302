"""What cannot work is refused at once, by name, and the cluster goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.contracts.gates import Gate, at_gate, inc


@pytest.fixture(autouse=True)
def the_cluster_goes_on(client: Any) -> Iterator[None]:
    yield
    assert client.submit(inc, 1, pure=False).result(timeout=30) == 2


@pytest.mark.differs("bad input")
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda client: client.submit(5), TypeError, "the first argument is 5, which cannot be called"),
        (lambda client: client.submit(inc, 1, key=5), TypeError, "key=5 is not a non-empty string"),
        (lambda client: client.submit(inc, 1, key=""), TypeError, "key='' is not a non-empty string"),
        (lambda client: type(client)(type(client.cluster)), TypeError, "address=<class"),
        (lambda client: client.submit(inc, 1, priority="high"), TypeError, "priority='high' is not a number"),
        (lambda client: client.submit(inc, 1, retries=1.5), TypeError, "retries=1.5 is not a whole number"),
        (lambda client: client.submit(inc, 1, retries=-1), ValueError, "retries=-1 is out of range"),
        (
            lambda client: client.submit(inc, 1, workers=object),
            TypeError,
            "workers=<class 'object'> is not a list of worker",
        ),
        (lambda client: client.submit(inc, 1, workers=[]), ValueError, r"workers=\[\] names no worker"),
        (lambda client: client.submit(inc, 1, resources={"GPU": -1}), ValueError, "resources.'GPU'.=-1"),
        (lambda client: client.submit(inc, 1, resources="GPU"), TypeError, "resources='GPU' is not a dict"),
        (lambda client: client.submit(inc, 1, fifo_timeout="soon"), ValueError, "fifo_timeout='soon'"),
        (lambda client: client.submit(inc, 1, allow_other_workers=1), TypeError, "allow_other_workers=1"),
        (lambda client: client.map(inc), TypeError, "needs at least one iterable"),
        (lambda client: client.map(inc, [1, 2], key=["one"]), ValueError, "fewer keys than elements"),
        (lambda client: client.map(inc, [1], batch_size=0), ValueError, "batch_size=0 is out of range"),
        (lambda client: client.gather([], errors="ignore"), ValueError, "errors='ignore' is not allowed"),
        (lambda client: client.submit(dict, actor="yes"), TypeError, "actor='yes' is neither True nor False"),
        (lambda client: client.submit(dict, actors="yes"), TypeError, "actors='yes' is neither True nor False"),
        (lambda client: client.map(dict, [1], actors=1), TypeError, "actors=1 is neither True nor False"),
        (lambda client: client.gather([], direct="yes"), TypeError, "direct='yes' is neither True nor False"),
        (lambda client: client.scatter([1], direct="yes"), TypeError, "direct='yes' is neither True nor False"),
        (lambda client: client.scatter([1], broadcast="yes"), TypeError, "broadcast='yes' is neither True nor False"),
        (lambda client: client.scatter([1], hash=None), TypeError, "hash=None is neither True nor False"),
        (lambda client: client.get({"x": 1}, "x", direct=2), TypeError, "direct=2 is neither True nor False"),
        (lambda client: client.get({"x": 1}, "x", resources=[]), TypeError, r"resources=\[\] is not a dict"),
        (lambda client: client.restart(wait_for_workers="no"), TypeError, "wait_for_workers='no' is neither"),
        (lambda client: client.restart(timeout="soon"), ValueError, "timeout='soon'"),
        (
            lambda client: client.restart_workers(["0"], raise_for_error="no"),
            TypeError,
            "raise_for_error='no'",
        ),
        (lambda client: client.restart_workers(None), TypeError, "workers=None is not a list of worker names"),
        (lambda client: client.restart_workers(5.5), TypeError, "workers=5.5 is not"),
        (lambda client: client.retire_workers(["0"], close_workers=None), TypeError, "close_workers=None is neither"),
        (lambda client: client.rebalance(workers=["nobody"]), ValueError, "workers=.'nobody'. names"),
        (lambda client: client.rebalance(workers=5.5), TypeError, "workers=5.5 is not a list"),
        (lambda client: client.upload_file(5), TypeError, "filename=5 is not a path"),
        (lambda client: client.upload_file(__file__, load="no"), TypeError, "load='no' is neither True nor False"),
        (lambda client: client.profile(merge_workers="no"), TypeError, "merge_workers='no' is neither"),
        (lambda client: client.profile(filename=5), TypeError, "filename=5 is not a path"),
        (lambda client: client.profile(stop="soon"), ValueError, "stop='soon'"),
        (lambda client: client.get_task_stream(filename=5), TypeError, "filename=5 is not a path"),
        (lambda client: client.get_task_stream(stop="soon"), ValueError, "stop='soon'"),
        (lambda client: client.submit(inc, 5).result(timeout="soon"), ValueError, "timeout='soon'"),
        (lambda client: client.submit(inc, 5).exception(timeout=-1), ValueError, "timeout=-1"),
        (lambda client: client.wait_for_workers(0), ValueError, "n_workers=0 is not allowed"),
    ],
)
def test_a_wrong_argument_is_named(client: Any, call: Callable[[Any], Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(client)


@pytest.mark.differs("bad input")
@pytest.mark.parametrize("key", [5, "", None])
def test_a_future_of_something_that_is_no_key_is_refused(api: Any, client: Any, key: Any) -> None:
    with pytest.raises(TypeError, match=f"key={key!r} is not a non-empty string"):
        api.Future(key)


@pytest.mark.differs("bad input")
def test_a_future_of_another_cluster_is_no_argument(api: Any, client: Any, keywords: Any) -> None:
    with api.LocalCluster(**keywords(n_workers=1)) as other, api.Client(other, set_as_default=False) as stranger:
        theirs = stranger.submit(inc, 1)
        with pytest.raises(ValueError, match="belongs to another cluster"):
            client.submit(inc, theirs)
        with pytest.raises(ValueError, match="belongs to another cluster"):
            client.map(inc, [1, theirs])
        assert client.submit(inc, theirs.result()).result() == 3


def test_futures_of_two_clients_of_one_cluster_mix(api: Any, client: Any, cluster: Any) -> None:
    with api.Client(cluster, set_as_default=False) as other:
        theirs = other.submit(inc, 10)
        theirs.result()
        assert client.submit(sum, [theirs, client.submit(inc, 20)]).result() == 32


def test_a_cancelled_future_is_no_argument(api: Any, client: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate, 1)
    future.cancel()
    with pytest.raises(api.CancelledError):
        client.submit(inc, future).result(timeout=30)


@pytest.mark.differs("bad input")
def test_a_released_future_is_no_argument(api: Any, client: Any) -> None:
    future = client.submit(inc, 100)
    assert future.result() == 101
    future.release()
    with pytest.raises(api.CancelledError):
        client.submit(inc, future).result(timeout=30)


def test_a_key_that_is_taken_keeps_its_meaning(client: Any) -> None:
    first = client.submit(inc, 1, key="taken")
    assert first.result() == 2
    second = client.submit(sum, [5, 5], key="taken")
    assert second.result() == 2


@pytest.mark.differs("bad input")
def test_a_future_of_another_cluster_is_cancelled_and_retried_by_its_own_client(
    api: Any, client: Any, keywords: Any
) -> None:
    with api.LocalCluster(**keywords(n_workers=1)) as other, api.Client(other, set_as_default=False) as stranger:
        theirs = stranger.submit(inc, 1)
        for ask in (client.cancel, client.retry):
            with pytest.raises(ValueError, match="belongs to another cluster"):
                ask(theirs)
        assert theirs.result() == 2


@pytest.mark.differs("bad input")
def test_a_restart_that_takes_too_long_says_which_workers_are_not_back(api: Any, own: Any) -> None:
    with api.Client(own(), set_as_default=False) as client:
        with pytest.raises(api.TimeoutError, match="1 of 1 workers did not come back within 0 s"):
            client.restart(timeout=0)
        assert client.submit(inc, 1).result(timeout=30) == 2, "they come back all the same"
        for timeout in (0.0005, 0.001, 0.005):
            with contextlib.suppress(api.TimeoutError):  # on a fast machine it takes less
                client.restart(timeout=timeout)
            assert client.submit(inc, 1).result(timeout=30) == 2


HALF = "\udc80"
"""Half of a surrogate pair: no encoding has it."""


@pytest.mark.differs("bad input")
@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.submit(inc, 1, key=HALF),
        lambda client: client.submit(inc, 1, workers=HALF),
        lambda client: client.submit(inc, 1, resources={HALF: 1}),
        lambda client: client.map(inc, [1], key=HALF),
        lambda client: client.map(inc, [1], key=[HALF]),
        lambda client: client.scatter({HALF: 1}),
        lambda client: client.cancel([], msg=HALF),
        lambda client: client.log_event(HALF, 1),
        lambda client: client.get_versions(packages=[HALF]),
        lambda client: client.nbytes(keys=[HALF]),
        lambda client: client.explain(HALF),
        lambda client: client.profile(key=HALF),
        lambda client: client.story(HALF),
    ],
)
def test_text_that_cannot_be_sent_is_refused_where_it_is_given(client: Any, call: Callable[[Any], Any]) -> None:
    with pytest.raises(ValueError, match=r"='\\udc80' is no text that can be sent: surrogates not allowed"):
        call(client)


@pytest.mark.differs("bad input")
@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 10**30])
def test_a_timeout_may_be_as_long_as_it_likes(api: Any, client: Any, timeout: Any) -> None:
    future = client.submit(inc, 41, pure=False)
    assert future.result(timeout=timeout) == 42
    assert api.wait([future], timeout=timeout).done == {future}
    with client.get_executor() as executor:
        assert list(executor.map(inc, [1], timeout=timeout)) == [2]


@pytest.mark.differs("bad input")
def test_numbers_may_be_those_of_numpy(client: Any) -> None:
    number = np.int64(1)
    assert client.submit(inc, 5, priority=number, retries=number, pure=False).result(timeout=np.float32(30)) == 6
    assert client.gather(client.map(inc, [1, 2], batch_size=number)) == [2, 3]
    assert client.submit(inc, 7, resources={"GPU": number}).result() == 8
