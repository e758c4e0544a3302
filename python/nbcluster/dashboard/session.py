"""One open page: its own copies of the plots, kept up to date from the one source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document

from nbcluster.dashboard.feed import Feed
from nbcluster.dashboard.pages import Page
from nbcluster.dashboard.theme import Theme, theme_named


def application(page: Page, feed: Feed) -> Application:
    """A Bokeh application that makes a document for everybody who opens this page."""

    def open_page(document: Document) -> None:
        Session(document, page, feed)

    # The function lives as long as the process, so there is nothing to be warned of or to be trapped.
    return Application(FunctionHandler(open_page, trap_exceptions=False))


def asked_theme(arguments: dict[str, list[bytes]]) -> Theme:
    """The theme that a request's query asks for."""
    values = arguments.get("theme") or [b"light"]
    return theme_named(values[-1].decode("ascii", "replace"))


class Session:
    """The plots of one document, from the visit until its websocket has been gone for a while."""

    def __init__(self, document: Document, page: Page, feed: Feed) -> None:
        context: Any = document.session_context
        arguments = context.request.arguments if context is not None and context.request else {}
        theme = asked_theme(arguments)
        self._document = document
        self._feed = feed
        self._plots = [plot(theme) for plot in page.plots]
        self._scheduled = False
        for plot in self._plots:
            document.add_root(plot.figure)
        document.title = page.title
        self._update()
        self._stop: Callable[[], None] = feed.watch(self._changed)
        document.on_session_destroyed(self._end)

    def _changed(self) -> None:
        """Update soon, once, with the document to ourselves."""
        if not self._scheduled:
            self._scheduled = True
            self._document.add_next_tick_callback(self._update)

    def _update(self) -> None:
        self._scheduled = False
        for plot in self._plots:
            plot.update(self._feed.source)

    def _end(self, context: object) -> None:
        self._stop()
