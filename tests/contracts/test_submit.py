from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.gates import Gate, Tally, add, at_gate, echo, fail_first, inc, tallied
from tests.support.eventually import eventually


class Adder:
    """Something that can be called and is no function."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, other: int) -> int:
        return self.number + other

    def method(self, other: int) -> int:
        return self.number * other


def test_a_submitted_function_is_run(client: Any) -> None:
    assert client.submit(add, 1, 2).result() == 3


def test_keyword_arguments_arrive(client: Any) -> None:
    assert client.submit(echo, 1, b=2, c=[3]).result() == ((1,), {"b": 2, "c": [3]})


@pytest.mark.parametrize(
    ("function", "argument", "result"),
    [
        (lambda x: x + 1, 1, 2),
        (functools.partial(add, 10), 1, 11),
        (Adder(5), 2, 7),
        (Adder(5).method, 2, 10),
        (operator.itemgetter(1), [1, 2], 2),
        (str, 5, "5"),
        (len, "four", 4),
    ],
    ids=["lambda", "partial", "object", "method", "itemgetter", "class", "built-in"],
)
def test_all_that_can_be_called_can_be_submitted(client: Any, function: Any, argument: Any, result: Any) -> None:
    assert client.submit(function, argument).result() == result


def test_closures_see_their_variables_as_they_are_now(client: Any) -> None:
    number = 1

    def plus(x: int) -> int:
        return x + number

    first = client.submit(plus, 1).result()
    number = 10
    assert (first, client.submit(plus, 1).result()) == (2, 11)


def test_a_key_begins_with_the_name_of_the_function(client: Any) -> None:
    assert client.submit(inc, 1).key.startswith("inc-")
    assert client.submit(lambda: 1).key.startswith("lambda-")
    assert client.submit(functools.partial(inc, 1)).key.startswith("inc-")


def test_a_key_can_be_chosen(client: Any) -> None:
    future = client.submit(inc, 1, key="my-own-key")
    assert future.key == "my-own-key"
    assert future.result() == 2


def test_the_same_call_has_the_same_key_and_is_computed_once(client: Any, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")
    futures = [client.submit(tallied, tally, 5) for _ in range(3)]
    assert client.gather(futures) == [5, 5, 5]
    assert client.submit(tallied, tally, 5).result() == 5
    assert len({future.key for future in futures}) == 1
    assert tally.count == 1


def test_another_argument_is_another_key(client: Any) -> None:
    keys = {client.submit(echo, *args, **kwargs).key for args, kwargs in [((1,), {}), ((2,), {}), ((), {"x": 1})]}
    assert len(keys) == 3


def test_an_impure_call_runs_each_time(client: Any, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")
    futures = [client.submit(tallied, tally, pure=False) for _ in range(3)]
    client.gather(futures)
    assert len({future.key for future in futures}) == 3
    assert tally.count == 3


def test_a_result_is_forgotten_with_its_last_future_and_computed_anew(client: Any, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")

    def computed_twice() -> bool:
        client.submit(tallied, tally).result()
        return tally.count >= 2

    eventually(computed_twice)


@pytest.mark.parametrize("key", [5, "", b"key", ["a"]])
@pytest.mark.differs("futures are keyed by text")
def test_a_key_that_is_no_text_is_refused(client: Any, key: Any) -> None:
    with pytest.raises(TypeError, match="key="):
        client.submit(inc, 1, key=key)


def test_what_cannot_be_called_is_refused(client: Any) -> None:
    with pytest.raises(TypeError):
        client.submit(1)
    with pytest.raises(TypeError):
        client.map(1, [1, 2])


def test_retries_run_a_failing_task_again(client: Any, tmp_path: Path) -> None:
    assert client.submit(fail_first, Tally(tmp_path / "two"), 2, retries=2).result() == 2


def test_when_retries_are_used_up_the_task_errs(client: Any, tmp_path: Path) -> None:
    future = client.submit(fail_first, Tally(tmp_path / "two"), 2, retries=1)
    assert "failure number 1" in str(future.exception())


def test_a_task_runs_on_the_worker_that_it_names(client: Any) -> None:
    for address in client.scheduler_info()["workers"]:
        future = client.submit(echo, address, workers=[address])
        future.result()
        assert _who_has(client, future, address)


def _who_has(client: Any, future: Any, address: str) -> bool:
    """Whether a task that may run only where the future's data is finds it there."""
    result = client.submit(echo, future, workers=address, pure=False).result()
    return bool(result[0][0][0][0] == address)


def test_a_worker_can_be_named_by_its_name(client: Any) -> None:
    name = next(iter(client.scheduler_info()["workers"].values()))["name"]
    assert client.submit(inc, 41, workers=name, pure=False).result() == 42
    assert client.submit(inc, 41, workers=[name], pure=False).result() == 42


def test_workers_can_be_named_by_their_host_or_without_the_protocol(client: Any) -> None:
    address, view = next(iter(client.scheduler_info()["workers"].items()))
    assert client.submit(inc, 1, workers=view["host"], pure=False).result(timeout=30) == 2
    assert client.gather(client.map(inc, range(3), workers=[view["host"]], pure=False)) == [1, 2, 3]
    if "tcp" in address:
        assert client.submit(inc, 1, workers=address.removeprefix("tcp://"), pure=False).result(timeout=30) == 2


def test_a_task_for_a_worker_that_is_not_there_waits(client: Any) -> None:
    future = client.submit(inc, 1, workers=["tcp://127.0.0.1:1"], pure=False)
    other = client.submit(inc, 1, pure=False)
    assert other.result() == 2
    assert future.status == "pending"


def test_other_workers_run_it_if_they_may(client: Any) -> None:
    future = client.submit(inc, 1, workers=["tcp://127.0.0.1:1"], allow_other_workers=True, pure=False)
    assert future.result() == 2


def test_allow_other_workers_is_true_or_false(client: Any) -> None:
    address = next(iter(client.scheduler_info()["workers"]))
    with pytest.raises(TypeError, match="allow_other_workers"):
        client.submit(inc, 1, workers=address, allow_other_workers="yes")


def test_resources_limit_how_many_run_at_once(client: Any, gate: Gate) -> None:
    # Each of two workers offers one GPU; a task that takes two fits nowhere.
    futures = [client.submit(at_gate, gate, n, resources={"GPU": 1}) for n in range(3)]
    impossible = client.submit(inc, 1, resources={"GPU": 2}, pure=False)
    gate.wait_for_visitors(2)
    gate.open()
    assert client.gather(futures) == [0, 1, 2]
    assert impossible.status == "pending"


def test_higher_priority_runs_first(client: Any, gate: Gate, tmp_path: Path) -> None:
    blockers = [client.submit(at_gate, gate, n, workers=[0]) for n in range(1)]
    gate.wait_for_visitors()
    order = tmp_path / "order"
    low = [client.submit(_note, str(order), f"low {n}", priority=-1, workers=[0]) for n in range(3)]
    high = [client.submit(_note, str(order), f"high {n}", priority=1, workers=[0]) for n in range(3)]
    # What came after everything else on the same link is known to the scheduler when these are.
    for _ in range(5):
        client.submit(inc, 1, workers=[1], pure=False).result()
    gate.open()
    client.gather([*blockers, *low, *high])
    noted = order.read_text().split("\n")[:-1]
    assert noted[-1].startswith("low")
    assert noted.index("high 0") < noted.index("low 2")


def _note(path: str, text: str) -> None:
    with open(path, "a") as file:
        file.write(text + "\n")


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("workers", 1.5, TypeError),
        ("workers", [], ValueError),
        ("allow_other_workers", True, ValueError),
        ("resources", 5, TypeError),
        ("resources", {"GPU": -1}, ValueError),
        ("resources", {"GPU": "one"}, TypeError),
        ("retries", -1, ValueError),
        ("retries", "many", TypeError),
        ("priority", "high", TypeError),
        ("fifo_timeout", "soon", ValueError),
    ],
)
@pytest.mark.differs("bad input")
def test_an_option_out_of_range_is_named(client: Any, option: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=option):
        client.submit(inc, 1, **{option: value})
    with pytest.raises(error, match=option):
        client.map(inc, [1], **{option: value})
    assert client.submit(inc, 1).result() == 2


@pytest.mark.differs("unpicklable argument")
def test_an_argument_that_cannot_be_pickled_is_named_by_its_path(client: Any) -> None:
    class Model:
        def __init__(self) -> None:
            self.lock = (name for name in "generators cannot be pickled")

    with pytest.raises(TypeError, match=r"args\[1\]\['model'\]\.lock"):
        client.submit(add, 1, {"model": Model()})
    assert client.submit(inc, 1).result() == 2


def test_what_cannot_be_pickled_is_refused_at_once(client: Any) -> None:
    with pytest.raises(TypeError):
        client.submit(inc, (x for x in [1]))
    assert client.submit(inc, 1).result() == 2


def letters() -> Any:
    return (letter for letter in "abc")


def test_a_result_that_cannot_be_pickled_serves_tasks_where_it_is(client: Any) -> None:
    future = client.submit(letters, pure=False)
    assert client.submit("".join, future).result() == "abc"
    assert future.status == "finished"


def test_a_result_that_cannot_be_pickled_does_not_leave_its_process(api: Any, own: Callable[..., Any]) -> None:
    with (
        api.Client(own(processes=True)) as client,
        pytest.raises(TypeError, match=r"(?i)(cannot|could not) \w+ .*generator"),
    ):
        client.submit(letters).result()


@pytest.mark.differs("futures of others")
def test_a_future_of_another_client_may_be_dropped_at_once(api: Any, cluster: Any, client: Any) -> None:
    with api.Client(cluster, set_as_default=False) as other:
        for number in range(30):
            sums = client.map(add, [other.submit(inc, number, pure=False)], [1], pure=False)
            sums.append(client.submit(add, other.submit(inc, number, pure=False), 1, pure=False))
            assert client.gather(sums) == [number + 2] * 2
