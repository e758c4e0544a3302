"""Where the time went: profiles of the tasks' threads, and the stream of the tasks that ran."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from nbcluster.arguments import check_flag, check_path, check_text, check_whole, check_workers
from nbcluster.client.connected import ConnectedClient
from nbcluster.client.inspecting import PATIENCE
from nbcluster.commands import GetTaskStream, TaskStream
from nbcluster.protocol import inspection as i
from nbcluster.protocol.profiles import Profile, merged, nested
from nbcluster.snapshot import TaskRecord
from nbcluster.types import Address
from nbcluster.units import parse_seconds

_MOST = 20_000
"""Runs that the scheduler remembers."""


class ProfilingClient(ConnectedClient):
    """Tells where the time went."""

    # --- profiles ---

    def profile(
        self,
        key: str | None = None,
        start: float | str | None = None,
        stop: float | str | None = None,
        workers: Any = None,
        merge_workers: bool = True,
        plot: bool | str = False,
        filename: str | None = None,
        server: bool = False,
        scheduler: bool = False,
    ) -> Any:
        """Where threads spent their time: their stacks, sampled every 10 ms while tasks run.

        Args:
            key: only in tasks of this function, by its name; None: in all.
            start: from this moment on: seconds since the epoch, or how long ago (``"60 s"``).
            stop: until this moment.
            workers: only on these, by names or addresses.
            merge_workers: one call tree for all workers; False: one for each.
            plot: return a Bokeh figure too; ``"save"`` writes it to a file as well.
            filename: the file; means ``plot="save"``.
            server: of the workers' event loops, while tasks ran, instead of the tasks.
            scheduler: of the scheduler instead. It is sampled from the first time on that this is asked for, until
                nobody has asked for a minute.

        Returns:
            Nested dicts ``{"count": samples, "identifier": …, "description": {…}, "children": {…}}``; without
            ``merge_workers`` by worker; with ``plot`` a pair of that and the figure.
        """
        if key is not None and not isinstance(key, str):
            raise TypeError(f"key={key!r} is not the name of a function; give text, or None for all")
        if key is not None:
            check_text("key", key)
        check_flag("scheduler", scheduler)
        if plot not in (False, True, "save"):
            raise ValueError(f"plot={plot!r} is not allowed; give True, False or 'save'")
        if filename is not None:
            check_path("filename", filename)
        if not check_flag("merge_workers", merge_workers) and (plot or filename):
            raise ValueError("merge_workers=False has no plot; ask for each worker by workers=[address]")
        look = i.LookAtProfile(key, _moment("start", start), _moment("stop", stop), check_flag("server", server))
        path = filename or ("dask-profile.html" if plot == "save" else None)

        def finish(by_worker: dict[Address, Profile]) -> Any:
            if not merge_workers:
                return {worker: nested(profile) for worker, profile in by_worker.items()}
            whole = merged(by_worker.values())
            if not plot and path is None:
                return nested(whole)
            from nbcluster.dashboard import report

            figure = report.flame_figure(whole)
            if path is not None:
                Path(path).write_text(report.page_of(figure, "Profile"), encoding="utf-8")
            return nested(whole), figure

        return self._sync(self._profiles, look, check_workers("workers", workers), scheduler, then=finish)

    async def _profiles(
        self, look: i.LookAtProfile, workers: list[str] | None, scheduler: bool
    ) -> dict[Address, Profile]:
        if scheduler:
            return {"scheduler": await self._session.inspect(i.AskScheduler(look))}
        sights = await self._session.inspect(i.AskWorkers(look, workers), PATIENCE)
        return {worker: sight for worker, sight in sights.by_worker.items() if isinstance(sight, Profile)}

    # --- the task stream ---

    def get_task_stream(
        self,
        start: float | str | None = None,
        stop: float | str | None = None,
        count: int | None = None,
        plot: bool | str = False,
        filename: str = "task-stream.html",
        bokeh_resources: Any = None,
    ) -> Any:
        """Which tasks ran, where and when: of the latest 20,000 runs.

        Args:
            start: those that ended after this moment: seconds since the epoch, or how long ago (``"60 s"``).
            stop: those that began before this moment.
            count: only the latest so many; not together with both ``start`` and ``stop``.
            plot: return a Bokeh figure too; ``"save"`` writes it to a file as well.
            filename: the file.
            bokeh_resources: where the file has BokehJS from, for example ``bokeh.resources.CDN``; by default it is
                in the file.

        Returns:
            A list of dicts with ``key``, ``name``, ``worker``, ``thread``, ``status`` (``"OK"`` or ``"error"``),
            ``nbytes`` and ``startstops``; with ``plot`` a pair of that and the figure.

        Example:
            >>> client.submit(abs, -1).result()
            1
            >>> client.get_task_stream(count=1)[0]["status"]
            'OK'
        """
        if plot not in (False, True, "save"):
            raise ValueError(f"plot={plot!r} is not allowed; give True, False or 'save'")
        if filename is not None:
            check_path("filename", filename)
        if bokeh_resources is not None and not hasattr(bokeh_resources, "render"):
            raise TypeError(f"bokeh_resources={bokeh_resources!r} is not one of bokeh.resources, e.g. CDN or INLINE")
        if count is not None:
            count = check_whole("count", count, least=0)
        first, last = _moment("start", start), _moment("stop", stop)

        def finish(records: list[TaskRecord]) -> Any:
            chosen = [
                record
                for record in records
                if (first is None or record.stop >= first) and (last is None or record.start <= last)
            ]
            if count is not None and (first is None or last is None):
                chosen = chosen[len(chosen) - count :] if count < len(chosen) else chosen
            told = self._told(chosen)
            if not plot:
                return told
            from nbcluster.dashboard import report

            figure = report.stream_figure(chosen, self._session.view)
            if plot == "save":
                page = report.page_of(figure, "Task stream", bokeh_resources)
                Path(filename).write_text(page, encoding="utf-8")
            return told, figure

        return self._sync(self._records, then=finish)

    async def _records(self) -> list[TaskRecord]:
        answer = await self._session.call(GetTaskStream(limit=_MOST))
        assert isinstance(answer, TaskStream)
        return answer.records

    def _told(self, records: list[TaskRecord]) -> list[dict[str, Any]]:
        view = self._session.view
        addresses = {} if view is None else {worker.name: worker.address for worker in view.workers}
        return [
            {
                "key": record.key,
                "name": record.prefix,
                "worker": addresses.get(record.worker) or str(record.worker),
                "thread": record.thread,
                "status": "OK" if record.status == "finished" else "error",
                "nbytes": record.nbytes,
                "startstops": [{"action": "compute", "start": record.start, "stop": record.stop}],
            }
            for record in records
        ]


def _moment(name: str, value: float | str | None) -> float | None:
    """A moment in seconds since the epoch; text says how long ago."""
    if value is None:
        return None
    if isinstance(value, str):
        return time.time() - parse_seconds(value, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"{name}={value!r} is no moment; give seconds since the epoch, or text such as '60 s' for before"
        )
    if not math.isfinite(value):
        raise ValueError(f"{name}={value!r} is no moment; give seconds since the epoch, or None")
    return float(value)
