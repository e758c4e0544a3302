from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as w  # type: ignore[import-untyped]

from nbcluster.widgets.inputs import Input


class Stage:
    """Keeps what was posted until it is told to go on."""

    def __init__(self) -> None:
        self.posted: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        self.posted.append((callback, args))

    def go_on(self) -> None:
        posted, self.posted = self.posted, []
        for callback, args in posted:
            callback(*args)


def make(value: int = 2) -> tuple[Input, Stage, list[int]]:
    stage = Stage()
    wishes: list[int] = []
    slider = Input(w.IntSlider(value=value, max=8), stage.post, lambda: wishes.append(slider.value))
    return slider, stage, wishes


def test_a_persons_choice_is_a_wish_and_what_is_shown_is_none() -> None:
    slider, stage, wishes = make()
    slider.show(5)
    stage.go_on()
    assert wishes == []
    slider.widget.value = 3
    slider.widget.value = 5
    stage.go_on()
    assert wishes == [3, 5]


def test_a_view_that_crosses_a_wish_does_not_undo_it() -> None:
    slider, stage, wishes = make()
    slider.widget.value = 3
    slider.show(2)
    stage.go_on()
    assert wishes == [3]
    assert slider.value == 3


def test_a_maximum_that_shrinks_below_the_value_is_no_wish() -> None:
    slider, stage, wishes = make()
    slider.show_below(20, 8)
    assert (slider.value, slider.widget.max) == (20, 20)
    slider.show_below(1, 4)
    assert (slider.value, slider.widget.max) == (1, 4)
    stage.go_on()
    assert wishes == []
