from __future__ import annotations

import ipywidgets as w  # type: ignore[import-untyped]

from nbcluster.widgets.inputs import Input


def test_a_persons_choice_is_a_wish_and_what_is_shown_is_none() -> None:
    wishes: list[int] = []
    slider = Input(w.IntSlider(value=2, max=8), lambda: wishes.append(slider.value))
    slider.show(5)
    assert wishes == []
    slider.widget.value = 3
    slider.widget.value = 5
    assert wishes == [3, 5]


def test_a_maximum_that_shrinks_below_the_value_is_no_wish() -> None:
    wishes: list[int] = []
    slider = Input(w.IntSlider(value=2, max=8), lambda: wishes.append(slider.value))
    slider.show_below(20, 8)
    assert (slider.value, slider.widget.max) == (20, 20)
    slider.show_below(1, 4)
    assert (slider.value, slider.widget.max) == (1, 4)
    assert wishes == []
