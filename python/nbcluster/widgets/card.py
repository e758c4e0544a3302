"""The cluster card of notebooks without the lab extension, put together from plain ipywidgets.

Card ── Remote ── Engine        views in, commands out, all on the cluster's loop
 ├ title, Actions               who it is; restart, shut down
 ├ notices                      what was refused, until somebody has seen it
 └ tabs: overview (figures, tasks, Scaling), workers, dashboard, LogView, info
"""

from __future__ import annotations

import asyncio
import threading
import time
from functools import cache
from importlib.resources import files

import ipywidgets as w  # type: ignore[import-untyped]

from nbcluster.engines.base import Engine
from nbcluster.snapshot import ClusterView
from nbcluster.widgets import fragments
from nbcluster.widgets.actions import Actions
from nbcluster.widgets.figures import ENDED
from nbcluster.widgets.logs import LogView
from nbcluster.widgets.orders import Orders
from nbcluster.widgets.remote import Remote
from nbcluster.widgets.scaling import Scaling
from nbcluster.widgets.server import ServerInfo
from nbcluster.widgets.subshells import listen_while_busy

_TABS = ("Overview", "Workers", "Dashboard", "Logs", "Info")


class Card:
    """A live picture of one cluster, with its controls. Make it with :func:`card_of`.

    Attributes:
        name: the id of the cluster.
        widget: what is displayed; any number of times.
    """

    def __init__(
        self, name: str, engine: Engine, loop: asyncio.AbstractEventLoop, server: ServerInfo | None = None
    ) -> None:
        self.name = name
        self._server = server
        self._remote = Remote(engine, loop, self._draw)
        self._view = self._complete(engine.view)
        self._ticking: asyncio.TimerHandle | None = None

        self.orders = Orders(self._remote, self._changed)
        self.actions = Actions(self.orders)
        self.scaling = Scaling(self.orders, self._view)
        self.logs = LogView(self.orders)
        self.dismiss = w.Button(description="Dismiss", layout={"width": "auto"})
        self.dismiss.add_class("nbcluster-dismiss")
        self.dismiss.on_click(lambda _: self.orders.post(self.orders.dismiss))
        self._title = w.HTML(layout={"flex": "1 1 auto"})
        self._failures = w.HTML(layout={"flex": "1 1 auto"})
        self._notices = w.HBox([self._failures, self.dismiss])
        self._message, self._figures, self._tasks = w.HTML(), w.HTML(), w.HTML()
        self._workers, self._dashboard, self._info = w.HTML(), w.HTML(), w.HTML()
        overview = w.VBox([self._message, self._figures, self._tasks, self.scaling.widget])
        pages = (overview, self._workers, self._dashboard, self.logs.widget, self._info)
        self.tabs = w.Tab(pages, titles=_TABS, selected_index=0)
        self.tabs.observe(lambda _change: self.orders.post(self._turned), "selected_index")
        self.widget = w.VBox(
            [
                w.HTML(_style(), layout={"display": "none"}),
                w.HBox([self._title, self.actions.widget]),
                self.actions.row,
                self._notices,
                self.tabs,
            ]
        )
        self.widget.add_class("nbw-Card")
        listen_while_busy(self.widget)
        self._draw(engine.view)

    @property
    def alive(self) -> bool:
        """Whether it can be shown again: neither its cluster nor its widgets have ended."""
        return self.widget.comm is not None and self._view.status not in ENDED

    def start(self) -> None:
        """Begin to follow the cluster; from any thread."""
        self._remote.post(self._remote.open)

    def switch(self, engine: Engine, loop: asyncio.AbstractEventLoop, server: ServerInfo | None) -> None:
        """Follow the same cluster through another handle, and let go of the one before; from any thread."""
        if engine is not self._remote.engine:
            self._remote.post(self._switch, engine, loop, server)

    # --- on the loop ------------------------------------------------------------------------------

    def _switch(self, engine: Engine, loop: asyncio.AbstractEventLoop, server: ServerInfo | None) -> None:
        self._remote.close()
        self._server = server
        self._remote = self.orders.remote = Remote(engine, loop, self._draw)
        self.start()

    def _changed(self, view: ClusterView | None) -> None:
        """An order was given, carried out or refused; perhaps there is a newer view."""
        self._remote.draw_now(view)

    def _turned(self) -> None:
        self.logs.open(self._tab == "Logs")
        self._draw_tab()

    @property
    def _tab(self) -> str:
        index = self.tabs.selected_index
        return "" if index is None else _TABS[index]

    def _complete(self, view: ClusterView) -> ClusterView:
        return view if self._server is None else self._server.complete(view)

    def _draw(self, view: ClusterView) -> None:
        self._view = self._complete(view)
        self._draw_title()
        self.actions.draw(self._view)
        failures = self.orders.failures
        self._failures.value = "".join(fragments.notice("error", text, "nbcluster-error") for text in failures)
        self._notices.layout.display = "flex" if failures else "none"
        self._draw_tab()
        if self._view.status in ENDED:
            self._end()

    def _draw_title(self) -> None:
        """Once a second while a lease runs out, whatever else changes."""
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        view = self._view
        self._title.value = fragments.title(view, "" if view.status in ENDED else self.orders.doing, time.time())
        if view.owner is not None and view.owner.lease is not None and view.status not in ENDED:
            self._ticking = self._remote.later(1.0, self._draw_title)

    def _draw_tab(self) -> None:
        """Only what can be seen is worth sending, but the controls always are as the cluster is."""
        view, tab = self._view, self._tab
        self.scaling.draw(view)
        self.logs.draw(view)
        if tab == "Overview":
            self._message.value = message = fragments.message(view)
            self._message.layout.display = None if message else "none"
            self._figures.value = fragments.figures(view)
            self._tasks.value = fragments.tasks(view)
        elif tab == "Workers":
            self._workers.value = fragments.workers(view)
        elif tab == "Dashboard":
            self._dashboard.value = fragments.dashboard(view)
        elif tab == "Info":
            self._info.value = fragments.info(view)

    def _end(self) -> None:
        self._remote.close()
        if _cards.get(self.name) is self:
            del _cards[self.name]


_cards: dict[str, Card] = {}
_lock = threading.Lock()


def card_of(engine: Engine, loop: asyncio.AbstractEventLoop, server: ServerInfo | None = None) -> Card:
    """The card of a cluster: one in each kernel, however often it is shown and by whatever handle.

    A notebook whose cell is run again and again neither piles up widgets nor subscriptions.
    """
    name = engine.view.id if server is None else server.cluster_id
    with _lock:
        card = _cards.get(name)
        if card is None or not card.alive:
            card = Card(name, engine, loop, server)
            if card.alive:
                _cards[name] = card
                card.start()
        else:
            card.switch(engine, loop, server)
    return card


@cache
def _style() -> str:
    css = files("nbcluster.widgets").joinpath("card.css").read_text(encoding="utf-8")
    return f"<style>{css}</style>"
