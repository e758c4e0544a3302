"""``with performance_report():`` writes a page that tells where the time in a block went."""

from __future__ import annotations

import importlib
import inspect
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, get_args

from nbcluster.arguments import check_path, check_whole
from nbcluster.client.client import Client
from nbcluster.client.defaults import default_client
from nbcluster.protocol import inspection as i
from nbcluster.protocol.profiles import merged

Mode = Literal["inline", "cdn", "relative", "absolute"]


class PerformanceReport:
    """Writes a self-contained HTML page about the work in a ``with`` or ``async with`` block.

    It tells which functions took how long, has the task stream, the profile of the tasks and of the scheduler, and
    what memory the workers took.

    Args:
        filename: the file, or a URL that fsspec can write to.
        stacklevel: whose code it shows: 1 is the caller's, 2 that of the caller's caller.
        mode: where the page has BokehJS from: ``"inline"`` (the default: it needs nothing but itself), ``"cdn"``,
            ``"relative"`` or ``"absolute"``.
        storage_options: for fsspec.

    Example:
        >>> with performance_report(filename="report.html"):
        ...     total = client.submit(sum, [1, 2]).result()
    """

    def __init__(
        self,
        filename: str = "dask-report.html",
        stacklevel: int = 1,
        mode: Mode | None = None,
        storage_options: dict[str, Any] | None = None,
    ) -> None:
        if mode is not None and mode not in get_args(Mode):
            raise ValueError(f"mode={mode!r} is not allowed; give one of {', '.join(get_args(Mode))}")
        stacklevel = check_whole("stacklevel", stacklevel)
        self.filename = check_path("filename", filename)
        self.mode = mode
        if storage_options is not None and not isinstance(storage_options, dict):
            raise TypeError(f"storage_options={storage_options!r} is not a dict of options for fsspec")
        self.storage_options = storage_options or {}
        self._stacklevel = max(1, stacklevel)
        self._client: Client
        self._start = 0.0
        self._code = ""

    def __repr__(self) -> str:
        return f"<performance_report: {self.filename}>"

    def __enter__(self) -> PerformanceReport:
        self._client = default_client()
        if self._client.asynchronous:
            raise TypeError("this client is asynchronous; use 'async with', not 'with'")
        self._code = _code(inspect.currentframe(), self._stacklevel)
        self._client._sync(self._begin)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._client._sync(self._collect, then=self._write)

    async def __aenter__(self) -> PerformanceReport:
        self._client = default_client()
        self._code = _code(inspect.currentframe(), self._stacklevel)
        await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._write(await self._collect())

    async def _begin(self) -> None:
        await self._client._profiles(i.LookAtProfile(), None, scheduler=True)  # from now on it is sampled
        self._start = time.time()

    async def _collect(self) -> dict[str, Any]:
        client, stop = self._client, time.time()
        look = i.LookAtProfile(start=self._start, stop=stop)
        records = await client._records()
        return {
            "start": self._start,
            "stop": stop,
            "code": self._code,
            "view": await client._view(),
            "records": [record for record in records if record.stop >= self._start and record.start <= stop],
            "profile": merged((await client._profiles(look, None, scheduler=False)).values()),
            "scheduler_profile": merged((await client._profiles(look, None, scheduler=True)).values()),
        }

    def _write(self, facts: dict[str, Any]) -> None:
        from nbcluster.dashboard.report import Report, report_html

        text = report_html(Report(versions=facts["view"].versions, **facts), self.mode)
        if "://" in self.filename or self.storage_options:
            fsspec = importlib.import_module("fsspec")
            with fsspec.open(self.filename, mode="w", compression="infer", **self.storage_options) as file:
                file.write(text)
        else:
            Path(self.filename).write_text(text, encoding="utf-8")


def _code(frame: FrameType | None, level: int) -> str:
    """The source of a caller: in a notebook the cell, in a script the function or the file."""
    while frame is not None and level > 0:
        frame, level = frame.f_back, level - 1
    if frame is None:
        return "(not available)"
    try:
        return inspect.getsource(frame)
    except (OSError, TypeError):
        return "(not available)"


performance_report = PerformanceReport
"""The name under which it is used: ``with performance_report(): …``."""
