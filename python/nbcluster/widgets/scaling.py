"""How many workers: by hand with a slider, or by the work there is."""

from __future__ import annotations

import ipywidgets as w  # type: ignore[import-untyped]

from nbcluster.commands import Adapt, Scale, StopAdapting
from nbcluster.snapshot import ClusterView
from nbcluster.widgets.figures import is_ready
from nbcluster.widgets.fragments import hint
from nbcluster.widgets.inputs import Input
from nbcluster.widgets.orders import Orders

_MOST = 1_000_000
_CROSSED = "The first number must not be above the second."


class Scaling:
    """The slider, and the switch with its two limits."""

    def __init__(self, orders: Orders, view: ClusterView) -> None:
        self._orders = orders
        self._view = view
        self._adapting = False  # true as soon as it was told to
        self.slider = Input(
            w.IntSlider(
                value=view.requested,
                min=0,
                max=max(view.capacity, view.requested),
                continuous_update=False,
                layout={"flex": "1 1 auto", "width": "auto"},
            ),
            orders.post,
            self._scale,
        )
        self.adapt = Input(
            w.ToggleButton(
                value=False,
                description="Adapt",
                tooltip="Let the number of workers follow the work",
                layout={"width": "80px"},
            ),
            orders.post,
            self._switch,
        )
        self.minimum = self._limit("Fewest workers", "minimum", 0)
        self.maximum = self._limit("Most workers", "maximum", view.capacity)
        self._hint = w.HTML()
        self.slider.widget.add_class("nbcluster-scale-slider")
        self.adapt.widget.add_class("nbcluster-adapt-switch")
        self.widget = w.VBox(
            [
                w.HBox([w.HTML('<span class="nbw-Label">Scale</span>'), self.slider.widget]),
                w.HBox(
                    [
                        self.adapt.widget,
                        self.minimum.widget,
                        w.HTML('<span class="nbw-Label">to</span>'),
                        self.maximum.widget,
                        self._hint,
                    ]
                ),
            ]
        )
        self.widget.add_class("nbw-Scaling")

    def draw(self, view: ClusterView) -> None:
        """Show what the cluster says, but for what it has not heard of yet."""
        self._view = view
        disabled = not is_ready(view)
        for control in (self.slider, self.adapt, self.minimum, self.maximum):
            control.widget.disabled = disabled
        if not self._orders.doing:
            self.slider.show_below(view.requested, view.capacity)
            self._adapting = view.adaptive is not None
            self.adapt.show(self._adapting)
            if view.adaptive is not None and not self._crossed:
                most = view.capacity if view.adaptive.maximum is None else view.adaptive.maximum
                self.minimum.show(view.adaptive.minimum)
                self.maximum.show(most)
        self.slider.widget.tooltip = (
            "Choosing a number ends adapting" if view.adaptive else f"This machine can hold {view.capacity:,} workers"
        )
        self._draw_hint()

    def _limit(self, tooltip: str, name: str, value: int) -> Input:
        widget = w.BoundedIntText(value=value, min=0, max=_MOST, tooltip=tooltip, layout={"width": "64px"})
        widget.add_class(f"nbcluster-adapt-{name}")
        return Input(widget, self._orders.post, self._limits_changed)

    @property
    def _crossed(self) -> bool:
        limits: tuple[int, int] = (self.minimum.value, self.maximum.value)
        return limits[0] > limits[1]

    def _draw_hint(self) -> None:
        if self._crossed:
            self._hint.value = hint(_CROSSED, bad=True)
        else:
            adaptive = self._view.adaptive
            self._hint.value = hint(adaptive.reason) if adaptive and adaptive.reason else ""

    # --- wishes, on the loop ----------------------------------------------------------------------

    def _scale(self) -> None:
        self._orders.give(Scale(n=self.slider.value), "Scaling…", "Not scaled")

    def _switch(self) -> None:
        self._adapting = self.adapt.value and not self._crossed
        if not self.adapt.value:
            self._orders.give(StopAdapting(), "Changing…", "Still adapting")
        elif self._crossed:
            self.adapt.show(False)
            self._draw_hint()
        else:
            self._give_limits()

    def _limits_changed(self) -> None:
        self._draw_hint()
        if self._adapting and not self._crossed:
            self._give_limits()

    def _give_limits(self) -> None:
        """A limit that there was not, and that nobody touched, stays none."""
        adaptive = self._view.adaptive
        unlimited = adaptive is not None and adaptive.maximum is None and self.maximum.value == self._view.capacity
        command = Adapt(minimum=self.minimum.value, maximum=None if unlimited else self.maximum.value)
        self._orders.give(command, "Changing…", "Not adapting like this")
