"""Runs a listener's ``on_connection`` for each new link, and owns what that leaves running."""

from __future__ import annotations

import asyncio
import inspect

from nbcluster.comm.base import Connection, OnConnection


class SetUps:
    """The calls of one listener that are under way. One that raises costs its link, and is reported by the loop."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Future[None], Connection] = {}

    def run(self, on_connection: OnConnection, link: Connection) -> None:
        """Hand a link over. Called on the listener's loop."""
        try:
            result = on_connection(link)
        except Exception as error:
            self._report(link, error)
            return
        if inspect.isawaitable(result):
            task = asyncio.ensure_future(result)
            self._running[task] = link
            task.add_done_callback(self._done)

    async def cancel(self) -> None:
        """End what is under way, and the links it was to set up."""
        running, self._running = self._running, {}
        for task, link in running.items():
            task.cancel()
            link.abort()
        if running:
            await asyncio.wait(running)

    def _done(self, task: asyncio.Future[None]) -> None:
        link = self._running.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and link is not None:
            self._report(link, error)

    @staticmethod
    def _report(link: Connection, error: BaseException) -> None:
        link.abort()
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"{link!r} could not be set up", "exception": error}
        )
