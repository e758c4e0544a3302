from __future__ import annotations

from typing import Any

import ipywidgets as w  # type: ignore[import-untyped]

from nbcluster.widgets.subshells import listen_while_busy


def destination(widget: Any, sent_to: str) -> str:
    """As ipykernel finds it out."""
    route = getattr(widget.comm, "_reply_subshell_for", None)
    return sent_to if route is None else str(route({}, sent_to))


def test_messages_go_where_the_front_end_sends_them() -> None:
    slider, box = w.IntSlider(), w.VBox()
    box.children = [w.HBox([slider])]
    for widget in (slider, box):
        widget.comm._reply_subshell_for = lambda data, default: "main"
    assert destination(slider, "subshell") == "main"
    listen_while_busy(box)
    assert destination(slider, "subshell") == "subshell"
    assert destination(box, "subshell") == "subshell"


def test_widgets_that_were_closed_are_left_alone() -> None:
    slider = w.IntSlider()
    slider.close()
    listen_while_busy(slider)
    assert slider.comm is None
