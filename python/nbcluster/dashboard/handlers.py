"""What the dashboard answers, path by path. Everything is read-only: GET, HEAD and the websocket of plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bokeh.embed.util import RenderItem
from bokeh.server.views.doc_handler import DocHandler
from bokeh.server.views.static_handler import StaticHandler
from bokeh.server.views.ws import WSHandler
from tornado.web import HTTPError, RequestHandler, StaticFileHandler

from nbcluster.dashboard import figures
from nbcluster.dashboard.gate import Refusal, same_origin
from nbcluster.dashboard.pages import PAGES, Page, individual_plots
from nbcluster.dashboard.session import asked_theme
from nbcluster.dashboard.text import clock, display, format_bytes, format_count
from nbcluster.page_policy import CONTENT_SECURITY_POLICY
from nbcluster.types import WorkerName

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from bokeh.server.session import ServerSession

    from nbcluster.dashboard.app import DashboardApplication

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
ASSETS = HERE / "assets"

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
QUIET = ("INFO", "STDOUT")
"""Lines of these need no mention of their level."""
MOST_LINES = 1000


class Guarded(RequestHandler):
    """Sends the headers that keep a browser from doing what we never ask for."""

    SUPPORTED_METHODS: tuple[str, ...] = ("GET", "HEAD")

    @property
    def dashboard(self) -> DashboardApplication:
        """The application."""
        return cast("DashboardApplication", self.application)

    def set_default_headers(self) -> None:
        """Called by tornado, for errors too."""
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say what went wrong in plain text."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code}: {self._reason}\n")


class Answer(Guarded):
    """Something that is made up on the spot."""

    async def head(self, *args: str, **kwargs: str) -> None:
        """The same as ``get``; tornado leaves out the body."""
        answer = self.get(*args, **kwargs)
        if answer is not None:
            await answer


class Refused(Guarded):
    """Answers whoever the gate does not let in."""

    SUPPORTED_METHODS = RequestHandler.SUPPORTED_METHODS

    def initialize(self, refusal: Refusal) -> None:
        """Called by tornado."""
        self._refusal = refusal

    def prepare(self) -> None:
        """Answer, whatever the method is."""
        raise HTTPError(self._refusal.status, reason=self._refusal.reason)


class Absent(Guarded):
    """What is not there, stock Bokeh's own pages included."""

    SUPPORTED_METHODS = RequestHandler.SUPPORTED_METHODS

    def prepare(self) -> None:
        """Answer, whatever the method is."""
        raise HTTPError(404)


class Root(Answer):
    """``/`` leads to the first page."""

    def get(self) -> None:
        """Redirect, relatively: the browser may know this place by another path."""
        asked = self.request.uri.partition("?")[0] if self.request.uri else "/"
        prefix = self.dashboard.path_prefix
        page = PAGES[0].path[1:]
        if prefix and asked == "/":
            page = f"{prefix[1:]}/{page}"
        elif prefix and asked == prefix:
            page = f"{prefix.rpartition('/')[2]}/{page}"
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(page + query)


class PageHandler(Answer, DocHandler):
    """A page of plots: opens a session, and tells the page's script how to reach it."""

    async def get(self, *args: str, **kwargs: str) -> None:
        """The page."""
        if self.request.path.endswith("/"):  # relative URLs would miss
            self.redirect(f"../{self.request.path.strip('/')}")
            return
        page = self._page()
        theme = asked_theme(self.request.arguments)
        session = await cast("Awaitable[ServerSession]", self.get_session())
        roots = RenderItem(token=session.token, roots=session.document.roots).to_json()["root_ids"]
        view = self.dashboard.feed.source.view or await self.dashboard.feed.view()
        self.set_header("Cache-Control", "no-store")
        self.render(
            "plots.html",
            page=page,
            theme=theme,
            cluster=display(view.name or view.id),
            script=StaticHandler.append_version("js/bokeh.min.js"),
            session=json.dumps({"token": session.token, "roots": len(roots)}),
            asset=self.asset,
            up="",
        )

    def asset(self, name: str) -> str:
        """A file of ours, by a name that changes when it does."""
        return asset(name)

    def _page(self) -> Page:
        path = self.application_context.url
        return next(page for page in PAGES if page.path == path)


class LiveHandler(WSHandler):
    """The websocket that plots are updated through."""

    def check_origin(self, origin: str) -> bool:
        """Only our own pages. The Jupyter proxy checks its visitor's origin, then speaks for itself."""
        return same_origin(origin, self.request.headers.get("Host", ""), self.request.protocol)


class BokehFiles(Guarded, StaticHandler):
    """BokehJS, from the installed package."""


class OurFiles(Guarded, StaticFileHandler):
    """Our scripts and styles."""


class Health(Answer):
    """Whether the dashboard works."""

    def get(self) -> None:
        """It does."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write("ok")


class IndividualPlots(Answer):
    """Which plots can be embedded one by one."""

    def get(self) -> None:
        """Title to path."""
        self.write(individual_plots())


class Counts(Answer):
    """The cluster in figures: for pages whose websocket is blocked, and for scripts."""

    async def get(self) -> None:
        """JSON."""
        self.set_header("Cache-Control", "no-store")
        self.write(figures.counts(await self.dashboard.feed.view()))


class Metrics(Answer):
    """The same figures as Prometheus reads them."""

    async def get(self) -> None:
        """Text."""
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.write(figures.metrics(await self.dashboard.feed.view()))


class WorkersPage(Answer):
    """All workers in a table."""

    async def get(self) -> None:
        """The page."""
        view = await self.dashboard.feed.view()
        self.render_info("workers.html", "Workers", view=view)

    def render_info(self, template: str, title: str, **values: Any) -> None:
        """A page without plots."""
        self.set_header("Cache-Control", "no-store")
        self.render(
            template,
            title=title,
            theme=asked_theme(self.request.arguments),
            asset=asset,
            up="../../",
            display=display,
            format_bytes=format_bytes,
            format_count=format_count,
            clock=clock,
            **values,
        )


class LogsPage(WorkersPage):
    """The latest log lines, of all or of one source."""

    async def get(self) -> None:
        """The page. ``?worker=`` and ``?level=`` select."""
        feed = self.dashboard.feed
        view = await feed.view()
        level = self.get_query_argument("level", "").upper()
        wanted = self.get_query_argument("worker", "")
        names: dict[str, WorkerName] = {str(worker.name): worker.name for worker in view.workers}
        if level and level not in LEVELS:
            raise HTTPError(400, reason=f"level is one of {', '.join(LEVELS)}")
        if wanted and wanted not in names:
            raise HTTPError(404, reason="There is no such worker now")
        lines = await feed.logs(worker=names.get(wanted), level=level or None, limit=MOST_LINES)
        self.render_info(
            "logs.html",
            "Logs",
            view=view,
            lines=lines,
            level=level,
            worker=wanted,
            levels=LEVELS,
            quiet=QUIET,
            names=names,
        )


def asset(name: str) -> str:
    """The relative URL of a file of ours, below the dashboard's root; it changes when the file does."""
    version = StaticFileHandler.get_version({"static_path": str(ASSETS)}, name)
    return f"assets/{name}?v={version}"


PATTERNS: tuple[Any, ...] = (
    (r"/", Root),
    (r"/health", Health),
    (r"/individual-plots\.json", IndividualPlots),
    (r"/json/counts\.json", Counts),
    (r"/metrics", Metrics),
    (r"/info/main/workers\.html", WorkersPage),
    (r"/info/main/logs\.html", LogsPage),
    (r"/assets/(.*)", OurFiles, {"path": str(ASSETS)}),
)
