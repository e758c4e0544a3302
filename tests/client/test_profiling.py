"""What a client tells of where the time went: which of it is chosen, and how it is named."""

from __future__ import annotations

from typing import Any

import pytest

from nbcluster.client.client import Client
from nbcluster.commands import GetTaskStream, TaskStream
from nbcluster.protocol import inspection as i
from nbcluster.protocol.profiles import CallTree, Profile
from nbcluster.snapshot import TaskRecord
from tests.support.staged_client import ClientStage, with_client

RUNS = [
    TaskRecord(key=f"f-{n}", prefix="f", worker=n % 2, thread=0, start=n, stop=n + 0.5, status=status, nbytes=8)
    for n, status in enumerate(["finished", "error", "finished", "finished"])
]


STEP = ("step", "app.py", 10)


def tree(samples: int) -> Profile:
    """Of a thread that was always in one function."""
    grown = CallTree()
    grown.add([STEP], samples)
    return grown.record()


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, [0, 1, 2, 3]),
        ({"start": 1.5}, [1, 2, 3]),
        ({"stop": 1.0}, [0, 1]),
        ({"start": 1.6, "stop": 2.9}, [2]),
        ({"count": 2}, [2, 3]),
        ({"count": 0}, []),
        ({"count": 9}, [0, 1, 2, 3]),
        ({"count": 1, "stop": 1.0}, [1]),
        ({"count": 1, "start": 0.0, "stop": 9.0}, [0, 1, 2, 3]),
        ({"start": "1 h"}, []),
    ],
)
def test_runs_are_chosen_by_when_they_ended_and_began_and_then_the_latest(
    options: dict[str, Any], chosen: list[int]
) -> None:
    @with_client
    async def test(stage: ClientStage, client: Client) -> None:
        stage.answers[GetTaskStream] = lambda: TaskStream(records=RUNS)
        assert [run["key"] for run in await client.get_task_stream(**options)] == [f"f-{n}" for n in chosen]

    test()


@with_client
async def test_runs_are_told_with_the_address_of_their_worker(stage: ClientStage, client: Client) -> None:
    unknown = TaskRecord(key="g", prefix="g", worker="gone", thread=1, start=5, stop=6, status="finished")
    stage.answers[GetTaskStream] = lambda: TaskStream(records=[RUNS[1], unknown])
    first, second = await client.get_task_stream()
    assert first == {
        "key": "f-1",
        "name": "f",
        "worker": "tcp://127.0.0.1:40001",
        "thread": 0,
        "status": "error",
        "nbytes": 8,
        "startstops": [{"action": "compute", "start": 1, "stop": 1.5}],
    }
    assert (second["worker"], second["status"]) == ("gone", "OK")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"start": True}, "start=True is no moment"),
        ({"stop": float("nan")}, "stop=nan is no moment"),
        ({"start": "long ago"}, "start='long ago'"),
        ({"plot": "show"}, "plot='show'"),
    ],
)
def test_what_is_wrong_with_a_moment_or_a_plot_is_said_at_once(options: dict[str, Any], says: str) -> None:
    @with_client
    async def test(stage: ClientStage, client: Client) -> None:
        for ask in (client.get_task_stream, client.profile):
            with pytest.raises((TypeError, ValueError), match=says):
                ask(**options)
        assert not stage.asked

    test()


# --- profiles ---


@with_client
async def test_what_workers_saw_is_one_tree_and_those_without_one_are_left_out(
    stage: ClientStage, client: Client
) -> None:
    stage.insights = [i.Sights({"a": tree(3), "b": i.StoryLines([]), "c": tree(4)}, ["d"])]
    whole = await client.profile("f", start=5, stop=7, workers=["ada"], server=True)
    assert (whole["count"], [child["count"] for child in whole["children"].values()]) == (7, [7])
    assert stage.asked == [i.AskWorkers(i.LookAtProfile("f", 5.0, 7.0, True), ["ada"])]


@with_client
async def test_each_worker_can_have_a_tree_of_its_own(stage: ClientStage, client: Client) -> None:
    stage.insights = [i.Sights({"a": tree(3), "c": tree(4)}, [])]
    by_worker = await client.profile(merge_workers=False)
    assert {worker: profile["count"] for worker, profile in by_worker.items()} == {"a": 3, "c": 4}
    with pytest.raises(ValueError, match="merge_workers=False has no plot"):
        client.profile(merge_workers=False, plot=True)


@with_client
async def test_the_scheduler_is_asked_of_itself(stage: ClientStage, client: Client) -> None:
    stage.insights = [tree(2)]
    assert (await client.profile(scheduler=True))["count"] == 2
    assert stage.asked == [i.AskScheduler(i.LookAtProfile())]
