from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nbcluster.commands import GetLogs
from nbcluster.widgets import logs
from tests.support.eventually import soon
from tests.widgets.conftest import Scene

OnStage = Callable[[Callable[[Scene], Any]], None]


def open_logs(scene: Scene) -> None:
    scene.card.tabs.selected_index = scene.card.tabs.titles.index("Logs")


def test_the_log_is_not_read_before_somebody_looks_at_it(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scene.engine.log("hello")
        scene.card._draw(scene.engine.view)
        assert not any(isinstance(command, GetLogs) for command in scene.commands)

    on_stage(play)


def test_the_log_follows(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scene.engine.log("first")
        open_logs(scene)
        await soon(lambda: ">first<" in scene.html())
        scene.engine.log("second", level="ERROR", worker=1)
        await soon(lambda: ">second<" in scene.html())
        assert scene.html().index(">first<") < scene.html().index(">second<")
        assert 'data-level="ERROR" data-worker="1"' in scene.html()
        asked = [command for command in scene.commands if isinstance(command, GetLogs)]
        assert asked[0].after == 0
        assert any(command.after == 1 for command in asked), "only new lines are fetched"

    on_stage(play)


def test_a_log_that_does_not_follow_stands_still(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scene.engine.log("first")
        open_logs(scene)
        await soon(lambda: ">first<" in scene.html())
        scene.card.logs.follow.value = False
        await soon(lambda: scene.card.logs._timer is None and not scene.card.logs._asking)
        asked = len(scene.commands)
        scene.engine.log("second")
        scene.card._draw(scene.engine.view)
        assert len(scene.commands) == asked
        scene.card.logs.follow.value = True
        await soon(lambda: ">second<" in scene.html())

    on_stage(play)


def test_a_log_that_is_turned_away_from_is_not_read(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        open_logs(scene)
        await soon(lambda: "Nothing was logged yet." in scene.html())
        scene.card.tabs.selected_index = 0
        await soon(lambda: scene.card.logs._timer is None and not scene.card.logs._asking)
        scene.engine.log("unseen")
        assert ">unseen<" not in scene.card.logs._box.value

    on_stage(play)


def test_the_log_is_filtered_by_level_and_worker(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scene.engine.log("plain")
        scene.engine.log("bad here", level="ERROR", worker=0)
        scene.engine.log("bad there", level="ERROR", worker=1)
        open_logs(scene)
        await soon(lambda: ">plain<" in scene.html())
        scene.card.logs.level.value = "ERROR"
        await soon(lambda: ">plain<" not in scene.html() and ">bad there<" in scene.html())
        scene.card.logs.worker.value = 0
        await soon(lambda: ">bad there<" not in scene.html() and ">bad here<" in scene.html())
        scene.card.logs.level.value = scene.card.logs.worker.value = None
        await soon(lambda: ">plain<" in scene.html() and ">bad there<" in scene.html())

    on_stage(play)


def test_the_log_is_searched(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scene.engine.log("Worker joined")
        scene.engine.log("Task failed")
        open_logs(scene)
        await soon(lambda: ">Task failed<" in scene.html())
        scene.card.logs.search.value = "WORKER"
        await soon(lambda: ">Task failed<" not in scene.html())
        assert ">Worker joined<" in scene.html()
        scene.card.logs.search.value = "no such thing"
        await soon(lambda: "No line is like this." in scene.html())

    on_stage(play)


def test_a_chosen_worker_stays_chosen_when_workers_come_and_go(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        worker = scene.card.logs.worker
        assert [value for _, value in worker.options] == [None, 0, 1]
        worker.value = 1
        scene.engine._have(1)
        scene.engine._have(4)
        await soon(lambda: len(worker.options) == 5)
        assert worker.value == 1
        scene.engine._have(1)
        await soon(lambda: [value for _, value in worker.options] == [None, 0, 1])
        assert worker.value == 1

    on_stage(play)


def test_a_log_that_cannot_be_read_says_so_and_goes_on(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        call, broken = scene.engine.call, True

        async def flaky(command: Any) -> Any:
            if broken:
                raise OSError("the log's file is gone")
            return await call(command)

        scene.engine.call = flaky  # type: ignore[method-assign]
        scene.engine.log("hello")
        open_logs(scene)
        await soon(lambda: "cannot be read: the log&#x27;s file is gone" in scene.html())
        broken = False
        await soon(lambda: ">hello<" in scene.html())
        assert "cannot be read" not in scene.html()

    on_stage(play)


def test_the_log_of_a_dead_cluster_can_still_be_looked_at(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scene.engine.log("last words")
        open_logs(scene)
        await soon(lambda: ">last words<" in scene.html())
        scene.engine.die("gone")
        await soon(lambda: "nothing is added to this log" in scene.html())
        scene.card.logs.search.value = "last"
        await soon(lambda: ">last words<" in scene.html())

    on_stage(play)


def test_only_the_end_of_a_long_log_is_shown(on_stage: OnStage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(scene: Scene) -> None:
        monkeypatch.setattr(logs, "MOST_ROWS", 3)
        for number in range(10):
            scene.engine.log(f"line {number}")
        open_logs(scene)
        await soon(lambda: ">line 9<" in scene.html())
        assert ">line 6<" not in scene.html()
        assert "7 earlier lines are not shown." in scene.html()

    on_stage(play)
