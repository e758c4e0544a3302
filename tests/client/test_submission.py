from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np
import pytest

from nbcluster.client.submission import (
    MAP_BATCH,
    Batch,
    content_token,
    function_name,
    joined,
    options,
    unique_token,
)
from nbcluster.protocol.messages import SAME_LINE, Line, SubmitTasks, TaskOptions
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.serialize import TaskRef, load_call, load_function


def double(x: Any) -> Any:
    return 2 * x


class Model:
    def fit(self, x: int) -> int:
        return x

    def __call__(self) -> None:
        """Callable."""


# --- options ---


def test_without_options_there_are_the_defaults() -> None:
    assert options() == TaskOptions()


def test_options_become_a_record() -> None:
    made = options(
        workers=["w", 0], allow_other_workers=True, resources={"GPU": 1, "memory": 2e9}, retries=3, priority=-2
    )
    assert made == TaskOptions(["w", "0"], True, {"GPU": 1.0, "memory": 2e9}, 3, -2)


@pytest.mark.parametrize(("workers", "names"), [("tcp://w", ["tcp://w"]), (0, ["0"]), ((1, "a"), ["1", "a"])])
def test_workers_are_named_by_name_or_address(workers: Any, names: list[str]) -> None:
    assert options(workers=workers).workers == names


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"workers": 1.5}, TypeError, "workers=1.5"),
        ({"workers": []}, ValueError, r"workers=\[\]"),
        ({"workers": [None]}, TypeError, r"workers=\[None\]"),
        ({"workers": [True]}, TypeError, r"workers=\[True\]"),
        ({"allow_other_workers": 1, "workers": ["w"]}, TypeError, "allow_other_workers=1"),
        ({"allow_other_workers": True}, ValueError, "allow_other_workers=True only makes sense with workers"),
        ({"resources": ["GPU"]}, TypeError, "resources="),
        ({"resources": {"GPU": True}}, TypeError, "resources="),
        ({"resources": {1: 1}}, TypeError, "resources="),
        ({"resources": {"GPU": -1}}, ValueError, r"resources\['GPU'\]=-1"),
        ({"resources": {"GPU": float("nan")}}, ValueError, r"resources\['GPU'\]=nan"),
        ({"resources": {"GPU": float("inf")}}, ValueError, r"resources\['GPU'\]=inf"),
        ({"retries": -1}, ValueError, "retries=-1"),
        ({"retries": True}, TypeError, "retries=True"),
        ({"retries": 1.5}, TypeError, "retries=1.5"),
        ({"priority": "high"}, TypeError, "priority='high'"),
        ({"priority": float("nan")}, ValueError, "priority=nan"),
        ({"priority": None}, TypeError, "priority=None"),
    ],
    ids=str,
)
def test_a_wrong_option_is_named(wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        options(**wrong)


# --- names ---


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (double, "double"),
        (lambda: 1, "lambda"),
        (functools.partial(double, 1), "double"),
        (functools.partial(functools.partial(double), 1), "double"),
        (Model().fit, "fit"),
        (Model(), "Model"),
        (Model, "Model"),
        (len, "len"),
        (operator.itemgetter(1), "itemgetter"),
    ],
)
def test_a_function_has_a_name(function: Any, name: str) -> None:
    assert function_name(function) == name


def test_unique_tokens_are_unique() -> None:
    tokens = {unique_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(len(token) == 32 and int(token, 16) >= 0 for token in tokens)


def test_data_is_named_by_its_content() -> None:
    assert content_token(Payload(b"a")) == content_token(Payload(b"a"))
    different = [Payload(b"a"), Payload(b"b"), Payload(b"a", (Frame(b"1"),)), Payload(b"a", (Frame(b"2"),))]
    assert len({content_token(payload) for payload in different}) == 4


# --- batches ---


def make_batch(function: Any = double, pure: bool = True, **others: Any) -> Batch:
    return Batch(function, options(**others), pure)


def test_a_batch_becomes_one_message() -> None:
    batch = make_batch(priority=3)
    keys = [batch.add((number,), {}) for number in range(3)]
    message = batch.message()
    assert message.keys == keys
    assert message.options == TaskOptions(priority=3)
    assert load_function(message.definition) is double
    assert [load_call(data, [], {}) for data in message.arguments] == [((n,), {}) for n in range(3)]
    assert (message.dependencies, message.frames) == ({}, {})


def test_after_that_it_begins_anew() -> None:
    batch = make_batch()
    batch.add((1,), {})
    batch.message()
    assert batch.keys == []
    assert batch.message().keys == []


def test_pure_keys_depend_on_function_and_arguments() -> None:
    key = make_batch().add((1,), {"a": 2})
    assert key.startswith("double-")
    assert make_batch().add((1,), {"a": 2}) == key
    others = [
        make_batch().add((2,), {"a": 2}),
        make_batch().add((1,), {"a": 3}),
        make_batch().add((1,), {"b": 2}),
        make_batch(abs).add((1,), {"a": 2}),
        make_batch(lambda x: x).add((1,), {"a": 2}),
    ]
    assert len({key, *others}) == 6


def test_impure_keys_depend_on_nothing() -> None:
    batch = make_batch(pure=False)
    assert batch.add((1,), {}) != batch.add((1,), {})


def test_a_key_that_was_given_is_the_key() -> None:
    batch = make_batch()
    assert batch.add((1,), {}, "my-key") == "my-key"
    assert batch.message().keys == ["my-key"]


def test_task_references_are_dependencies_by_index() -> None:
    batch = make_batch()
    batch.add((1,), {})
    batch.add(([TaskRef("a"), {"x": TaskRef("b")}, TaskRef("a")],), {})
    assert batch.message().dependencies == {1: ["a", "b"]}


def test_large_buffers_are_frames_by_index() -> None:
    batch = make_batch()
    batch.add((1,), {})
    batch.add((np.arange(100_000),), {})
    message = batch.message()
    assert list(message.frames) == [1]
    assert len(message.arguments[1]) < 1000
    (array,), _ = load_call(message.arguments[1], message.frames[1], {})
    assert array[-1] == 99_999


@pytest.mark.parametrize("function", [1, "f", None, []])
def test_what_cannot_be_called_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match="cannot be called"):
        make_batch(function)


def test_what_cannot_be_pickled_leaves_the_batch_as_it_was() -> None:
    batch = make_batch()
    batch.add((1,), {})
    with pytest.raises(TypeError, match=r"args\[0\]"):
        batch.add(((x for x in [1]),), {})
    assert len(batch.message().keys) == 1


# --- several submissions in one message ---


def _submissions(*arguments: int, function: Any = double, **task_options: Any) -> list[SubmitTasks]:
    messages = []
    for argument in arguments:
        batch = Batch(function, options(**task_options), True)
        batch.add((argument,), {})
        messages.append(batch.message())
    return messages


def test_submissions_that_differ_in_keys_and_arguments_alone_are_joined() -> None:
    messages = _submissions(1, 2, 3)
    [one] = joined(messages)
    batch = Batch(double, options(), True)
    for argument in (1, 2, 3):
        batch.add((argument,), {})
    assert one == batch.message()


def test_neighbours_alone_are_joined_so_that_the_order_stays() -> None:
    messages = [*_submissions(1, 2), *_submissions(3, function=abs), *_submissions(4), *_submissions(5, priority=1)]
    assert [len(message.keys) for message in joined(messages)] == [2, 1, 1, 1]
    assert [key for message in joined(messages) for key in message.keys] == [m.keys[0] for m in messages]


def test_what_comes_elsewhere_in_line_is_not_joined() -> None:
    def submission(argument: int, line: Line) -> SubmitTasks:
        batch = Batch(double, options(), True)
        batch.add((argument,), {})
        return batch.message(line)

    new, of_a, of_b = Line(new_generation=True), Line(parent="a"), Line(parent="b")
    lines = [SAME_LINE, new, SAME_LINE, of_a, of_a, of_b, SAME_LINE]
    together = joined([submission(number, line) for number, line in enumerate(lines)])
    assert [(message.line, len(message.keys)) for message in together] == [
        (SAME_LINE, 1),
        (new, 2),
        (of_a, 2),
        (of_b, 1),
        (SAME_LINE, 1),
    ]


def test_a_joined_message_is_not_larger_than_those_of_map() -> None:
    messages = _submissions(*range(2 * MAP_BATCH + 1))
    assert [len(message.keys) for message in joined(messages)] == [MAP_BATCH, MAP_BATCH, 1]


def test_what_has_dependencies_or_frames_is_left_alone() -> None:
    messages = []
    for argument in (TaskRef("a"), TaskRef("b"), np.ones(100_000), 1):
        batch = Batch(double, options(), True)
        batch.add((argument,), {})
        messages.append(batch.message())
    assert joined(messages) == messages
