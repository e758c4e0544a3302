"""Widgets with a value that two sides set: the person, and the cluster by what it says about itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Input:
    """Tells a person's wish from an echo of what the cluster said.

    A wish may cross with a view that knows nothing of it yet and sets the widget back. So its value travels with
    it to the loop, and is set once more there.

    Args:
        widget: anything with a ``value``.
        post: has the cluster's loop call something; a wish comes in any thread.
        wished: called there, when the person chose another value.
    """

    def __init__(self, widget: Any, post: Callable[..., None], wished: Callable[[], None]) -> None:
        self.widget = widget
        self._known = widget.value
        self._post = post
        self._wished = wished
        widget.observe(self._observe, "value")

    @property
    def value(self) -> Any:
        """What it shows."""
        return self.widget.value

    def show(self, value: Any) -> None:
        """Show what the cluster says: nobody wished for it."""
        self._known = value
        self.widget.value = value

    def show_below(self, value: int, most: int) -> None:
        """The same for a widget with a maximum, which would cut off a value above it on its way."""
        widget = self.widget
        self._known = value
        widget.max = max(most, value, widget.value)
        widget.value = value
        widget.max = max(most, value)

    def _observe(self, change: dict[str, Any]) -> None:
        if change["new"] != self._known:
            self._known = change["new"]
            self._post(self._take, change["new"])

    def _take(self, value: Any) -> None:
        self.show(value)
        self._wished()
