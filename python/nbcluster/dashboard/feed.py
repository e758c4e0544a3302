"""Keeps the source of the plots up to date while somebody looks, and costs the cluster nothing while nobody does.

    first watcher ──▶ a second link: Subscribe, then GetTaskStream whenever tasks were done
    last one gone ──▶ that link is closed

Single questions (logs, figures) go over the first link, whose end is the end of this process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from nbcluster.commands import AnyAnswer, GetLogs, GetTaskStream, GetView, Logs, Subscribe, TaskStream, View
from nbcluster.dashboard.cluster_link import ClusterLink, OpenLink
from nbcluster.dashboard.source import Source
from nbcluster.errors import CommError, NbclusterError, TimeoutError
from nbcluster.snapshot import ClusterView, LogLine
from nbcluster.types import WorkerName

logger = logging.getLogger(__name__)

INTERVAL = 0.5
"""Seconds between two updates of the plots."""
PAUSE = 1.0
"""Seconds before a subscription that failed is tried again."""
MOST_RECORDS = 5000


class Feed:
    """What the cluster says, for all pages.

    Args:
        link: open already; closed by whoever opened it.
        open_link: opens another one.
        source: kept up to date.
        interval: seconds between updates.
    """

    def __init__(self, link: ClusterLink, open_link: OpenLink, source: Source, interval: float = INTERVAL) -> None:
        self.source = source
        self._link = link
        self._open_link = open_link
        self._interval = interval
        self._watchers: dict[int, Callable[[], None]] = {}
        self._numbers = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def watchers(self) -> int:
        """How many pages are open."""
        return len(self._watchers)

    def watch(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Have ``on_change`` called (on the loop) whenever the source has changed. Returns the way to stop it."""
        self._numbers += 1
        number = self._numbers
        self._watchers[number] = on_change
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._follow())
            self._task.add_done_callback(_report)

        def stop() -> None:
            self._watchers.pop(number, None)
            if not self._watchers and self._task is not None:
                self._task.cancel()
                self._task = None

        return stop

    async def close(self) -> None:
        """Stop following. Idempotent."""
        self._watchers.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    # --- single questions ---

    async def view(self) -> ClusterView:
        """The cluster as it is now."""
        answer = await self._link.call(GetView())
        assert isinstance(answer, View)
        return answer.cluster

    async def logs(
        self, after: int = 0, worker: WorkerName | None = None, level: str | None = None, limit: int = 1000
    ) -> list[LogLine]:
        """The latest log lines, oldest first."""
        answer = await self._link.call(GetLogs(after=after, limit=limit, worker=worker, level=level))
        assert isinstance(answer, Logs)
        return answer.lines

    # --- following ---

    async def _follow(self) -> None:
        while True:
            try:
                await self._follow_once()
            except (NbclusterError, TimeoutError) as error:
                # The end of the cluster ends the first link too, and with it this process: this is something else.
                logger.warning("The plots stand still, and follow the cluster again in %g s: %s", PAUSE, error)
            await asyncio.sleep(PAUSE)

    async def _follow_once(self) -> None:
        views: asyncio.Queue[AnyAnswer] = asyncio.Queue()
        link = await self._open_link(views.put_nowait)
        try:
            views.put_nowait(await link.call(Subscribe(interval=self._interval)))
            done = -1
            ended = asyncio.ensure_future(link.lost_event.wait())
            try:
                while True:
                    done = await self._take(link, await _next(views, ended), done)
            finally:
                ended.cancel()
        finally:
            await link.close()

    async def _take(self, link: ClusterLink, answer: AnyAnswer, done: int) -> int:
        """Show one view, and the tasks that were done since the last one."""
        if not isinstance(answer, View):
            return done
        view = answer.cluster
        self.source.set_view(view)
        runs = view.tasks.done + view.tasks.erred
        if runs != done:
            answer = await link.call(GetTaskStream(after=self.source.last_record, limit=MOST_RECORDS))
            if isinstance(answer, TaskStream):
                self.source.add_records(answer.records)
        for on_change in list(self._watchers.values()):
            on_change()
        return runs


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": "The dashboard no longer follows its cluster", "exception": error, "task": task}
        asyncio.get_running_loop().call_exception_handler(context)


async def _next(views: asyncio.Queue[AnyAnswer], ended: asyncio.Future[Any]) -> AnyAnswer:
    """The latest view; older ones that wait are skipped."""
    waiting = asyncio.ensure_future(views.get())
    either: list[asyncio.Future[Any]] = [waiting, ended]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise CommError("the link to the cluster ended")
        answer = waiting.result()
    finally:
        waiting.cancel()
    while not views.empty():
        answer = views.get_nowait()
    return answer
