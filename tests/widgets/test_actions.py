from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbcluster.commands import Close, Restart
from nbcluster.types import Status
from tests.support.eventually import soon
from tests.widgets.conftest import Scene

OnStage = Callable[[Callable[[Scene], Any]], None]


def test_restart_asks_once_more(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        actions = scene.card.actions
        actions.buttons["restart"].click()
        await soon(lambda: "Restart all workers?" in scene.html())
        assert scene.commands == []
        actions.confirm.click()
        await soon(lambda: scene.commands == [Restart()])
        assert "Restart all workers?" not in scene.html()

    on_stage(play)


def test_a_question_can_be_cancelled(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        actions = scene.card.actions
        actions.buttons["shut-down"].click()
        await soon(lambda: "Shut down this cluster?" in scene.html())
        actions.cancel.click()
        await soon(lambda: "Shut down this cluster?" not in scene.html())
        actions.confirm.click()  # a click that was on its way
        await soon(lambda: actions.row.layout.display == "none")
        assert scene.commands == []

    on_stage(play)


def test_shut_down_ends_the_cluster(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scene.card.actions.buttons["shut-down"].click()
        await soon(lambda: "Shut down this cluster?" in scene.html())
        scene.card.actions.confirm.click()
        await soon(lambda: scene.engine.status is Status.CLOSED)
        assert scene.commands == [Close(reason="shut down in its card")]
        await soon(lambda: ">Closed<" in scene.html())

    on_stage(play)


def test_a_question_goes_away_with_the_cluster(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scene.card.actions.buttons["restart"].click()
        await soon(lambda: "Restart all workers?" in scene.html())
        scene.engine.die("gone")
        await soon(lambda: "Restart all workers?" not in scene.html())

    on_stage(play)
