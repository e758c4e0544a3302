from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbcluster.commands import Adapt, Scale, StopAdapting
from nbcluster.snapshot import AdaptiveView
from nbcluster.types import Status
from tests.support.eventually import soon
from tests.widgets.conftest import Scene

OnStage = Callable[[Callable[[Scene], Any]], None]


def test_the_slider_scales(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scene.card.scaling.slider.widget.value = 3
        await soon(lambda: scene.commands == [Scale(n=3)])
        await soon(lambda: ">3<" in scene.html())

    on_stage(play)


def test_the_slider_ends_where_the_machine_does(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        slider = scene.card.scaling.slider.widget
        assert (slider.min, slider.max, slider.value) == (0, 8, 2)
        scene.engine.change(capacity=4)
        await soon(lambda: slider.max == 4)

    on_stage(play)


def test_the_slider_shows_more_workers_than_fit_if_somebody_asked_for_them(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        slider = scene.card.scaling.slider.widget
        await scene.engine.call(Scale(n=20))
        await soon(lambda: (slider.value, slider.max) == (20, 20))
        await scene.engine.call(Scale(n=1))
        await soon(lambda: (slider.value, slider.max) == (1, 8))
        assert scene.commands == [Scale(n=20), Scale(n=1)], "what is shown is nobody's wish"

    on_stage(play)


def test_going_back_to_the_former_number_is_a_wish_too(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        slider = scene.card.scaling.slider.widget
        slider.value = 5
        slider.value = 2
        await soon(lambda: scene.commands and scene.commands[-1] == Scale(n=2))

    on_stage(play)


def test_the_switch_adapts_within_the_limits_and_ends_it(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scaling = scene.card.scaling
        scaling.minimum.widget.value = 1
        scaling.maximum.widget.value = 6
        scaling.adapt.widget.value = True
        await soon(lambda: scene.commands == [Adapt(minimum=1, maximum=6)])
        await soon(lambda: "asked for" in scene.html())
        scaling.maximum.widget.value = 4
        await soon(lambda: scene.commands[-1] == Adapt(minimum=1, maximum=4))
        scaling.adapt.widget.value = False
        await soon(lambda: scene.commands[-1] == StopAdapting())
        assert len(scene.commands) == 3

    on_stage(play)


def test_limits_that_change_while_adapting_begins_are_sent_too(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scaling = scene.card.scaling
        scaling.adapt.widget.value = True
        scaling.maximum.widget.value = 5
        await soon(lambda: len(scene.commands) == 2)
        assert scene.commands[-1] == Adapt(minimum=0, maximum=5)
        await soon(lambda: not scene.card.orders.doing)
        assert scaling.maximum.value == 5

    on_stage(play)


def test_the_switch_shows_what_others_do(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scaling = scene.card.scaling
        scene.engine.change(adaptive=AdaptiveView(minimum=2, maximum=None, target=2))
        await soon(lambda: scaling.adapt.value)
        assert (scaling.minimum.value, scaling.maximum.value) == (2, 8)
        scene.engine.change(adaptive=None)
        await soon(lambda: not scaling.adapt.value)
        assert scene.commands == []

    on_stage(play)


def test_a_missing_limit_stays_missing_while_the_other_is_changed(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scaling = scene.card.scaling
        scene.engine.change(adaptive=AdaptiveView(minimum=0, maximum=None, target=2))
        await soon(lambda: scaling.adapt.value)
        scaling.minimum.widget.value = 1
        await soon(lambda: scene.commands == [Adapt(minimum=1, maximum=None)])

    on_stage(play)


def test_limits_that_cross_are_not_sent(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scaling = scene.card.scaling
        scaling.minimum.widget.value = 5
        scaling.maximum.widget.value = 4
        await soon(lambda: "must not be above" in scene.html())
        scaling.adapt.widget.value = True
        await soon(lambda: not scaling.adapt.value)
        assert scene.commands == []
        scaling.maximum.widget.value = 6
        await soon(lambda: "must not be above" not in scene.html())

    on_stage(play)


def test_nothing_can_be_scaled_before_the_cluster_runs(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scene.engine.change(status=Status.STARTING)
        await soon(lambda: scene.card.scaling.slider.widget.disabled)
        scene.engine.change(status=Status.RUNNING)
        await soon(lambda: not scene.card.scaling.slider.widget.disabled)

    on_stage(play)
