"""Restarting and shutting down: each asks once more before it does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets as w  # type: ignore[import-untyped]

from nbcluster.commands import AnyCommand, Close, Restart
from nbcluster.snapshot import ClusterView
from nbcluster.widgets.figures import is_ready
from nbcluster.widgets.fragments import question
from nbcluster.widgets.orders import Orders


@dataclass(frozen=True)
class _Action:
    name: str
    label: str
    icon: str
    question: str
    command: Callable[[], AnyCommand]
    doing: str
    refusal: str


_ACTIONS = (
    _Action(
        name="restart",
        label="Restart",
        icon="refresh",
        question="Restart all workers? All tasks and their results are forgotten.",
        command=Restart,
        doing="Restarting…",
        refusal="Not restarted",
    ),
    _Action(
        name="shut-down",
        label="Shut down",
        icon="power-off",
        question="Shut down this cluster? All tasks and their results are lost.",
        command=lambda: Close(reason="shut down in its card"),
        doing="Shutting down…",
        refusal="Not shut down",
    ),
)


class Actions:
    """The buttons, and the question that they ask."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._asked: _Action | None = None
        self._ready = False
        self.buttons = {action.name: self._button(action) for action in _ACTIONS}
        self.confirm = w.Button(button_style="danger", layout={"width": "auto"})
        self.cancel = w.Button(description="Cancel", layout={"width": "auto"})
        self.confirm.add_class("nbcluster-confirm")
        self.cancel.add_class("nbcluster-cancel")
        self.confirm.on_click(lambda _: orders.post(self._confirmed))
        self.cancel.on_click(lambda _: orders.post(self._ask, None))
        self._question = w.HTML(layout={"flex": "1 1 auto"})
        self.widget = w.HBox(list(self.buttons.values()))
        self.widget.add_class("nbw-Actions")
        self.row = w.HBox([self._question, self.confirm, self.cancel], layout={"display": "none"})
        self.row.add_class("nbw-Question")

    def draw(self, view: ClusterView) -> None:
        """Offer what can be done to the cluster now."""
        self._ready = is_ready(view)
        for button in self.buttons.values():
            button.disabled = not self._ready or bool(self._orders.doing)
        if not self._ready:
            self._ask(None)

    def _button(self, action: _Action) -> Any:
        button = w.Button(icon=action.icon, tooltip=f"{action.label}…", layout={"width": "36px"})
        button.add_class(f"nbcluster-{action.name}")
        button.on_click(lambda _: self._orders.post(self._ask, action))
        return button

    def _ask(self, action: _Action | None) -> None:
        self._asked = action
        if action is not None:
            self._question.value = question(action.question)
            self.confirm.description = action.label
        self.row.layout.display = "none" if action is None else "flex"

    def _confirmed(self) -> None:
        action = self._asked
        self._ask(None)
        if action is not None and self._ready:
            self._orders.give(action.command(), action.doing, action.refusal)
