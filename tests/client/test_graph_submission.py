"""In which messages a graph goes out, and what of it is held meanwhile."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from dask._task_spec import Alias, Task
from dask._task_spec import TaskRef as Ref

from nbcluster.client import graph_submission, submission
from nbcluster.client.annotating import Annotated
from nbcluster.client.graph_submission import GraphSubmission
from nbcluster.protocol.messages import Line, SubmitGraph, WantKeys
from nbcluster.protocol.payload import Frame


def chain(length: int) -> dict[str, Any]:
    """Each task needs the one before."""
    tasks = {"x-0": Task("x-0", operator.neg, 1)}
    for n in range(1, length):
        tasks[f"x-{n}"] = Task(f"x-{n}", operator.neg, Ref(f"x-{n - 1}"))
    return tasks


def submitted(dsk: Any, keys: list[Any], said: dict[str, Any] | None = None, **options: Any) -> list[Any]:
    """The messages, with the keys that are held for each."""
    annotated = Annotated(submission.options(), said or {}, options.pop("actors", ()))
    known = options.pop("known", set[str]())
    return list(GraphSubmission(dsk, keys, annotated, known.__contains__, **options).messages())


def test_a_small_graph_is_one_message_and_only_what_was_asked_for_is_held() -> None:
    [(held, message)] = submitted(chain(3), ["x-2"])
    assert isinstance(message, SubmitGraph)
    assert held == ["x-2"]
    assert [(task.key, task.dependencies, task.wanted) for task in message.tasks] == [
        ("x-0", [], False),
        ("x-1", ["x-0"], False),
        ("x-2", ["x-1"], True),
    ]
    assert len(message.functions) == 1, "a function travels once"


def test_a_large_graph_goes_out_in_pieces_and_what_a_later_one_needs_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_submission, "PIECE", 2)
    pieces = submitted(chain(5), ["x-4"], line=Line(new_generation=True))
    assert [[task.key for task in message.tasks] for _, message in pieces] == [["x-0", "x-1"], ["x-2", "x-3"], ["x-4"]]
    assert [held for held, _ in pieces] == [["x-1"], ["x-3"], ["x-4"]]
    assert [message.before for _, message in pieces] == [0, 2, 4]
    assert [message.line.new_generation for _, message in pieces] == [True, False, False]


def test_what_is_a_future_already_is_wanted_and_not_submitted() -> None:
    pieces = submitted(
        {"y": Task("y", operator.neg, Ref("known")), "z": Alias("z", "known")}, ["y", "z"], known={"known"}
    )
    assert [message for _, message in pieces if isinstance(message, WantKeys)] == [WantKeys(["known"])]
    [graph] = [message for _, message in pieces if isinstance(message, SubmitGraph)]
    assert [(task.key, task.dependencies) for task in graph.tasks] == [("y", ["known"])]


def test_what_is_said_where_it_is_computed_holds_for_all_tasks() -> None:
    [(_, message)] = submitted(chain(2), ["x-1"], {"priority": 5, "mine": "x"})
    assert message.options.priority == 5
    assert message.options.annotations
    assert [task.options for task in message.tasks] == [None, None]


def test_an_annotation_may_depend_on_the_key() -> None:
    [(_, message)] = submitted(chain(2), ["x-1"], {"retries": lambda key: 3 if key == "x-1" else 0})
    assert [task.options and task.options.retries for task in message.tasks] == [0, 3]


def test_tasks_that_make_actors_are_named_or_are_all_that_were_asked_for() -> None:
    for actors in (True, ["x-1"]):
        [(_, message)] = submitted(chain(2), ["x-1"], actors=actors)
        assert [bool(task.options and task.options.actor) for task in message.tasks] == [False, True]


def test_a_large_buffer_of_many_tasks_is_shared_once() -> None:
    shared: list[int] = []

    def share(view: memoryview, whole: bool) -> Any:
        shared.append(view.nbytes)
        memory: Any = view
        return Frame(None, shared=memory)

    array = np.zeros(2 * 2**20, "u1")
    tasks = {f"y-{n}": Task(f"y-{n}", len, array) for n in range(3)}
    [(_, message)] = submitted(tasks, list(tasks), share=share)
    assert shared == [array.nbytes]
    assert len({id(frame) for task in message.tasks for frame in task.frames}) == 1
