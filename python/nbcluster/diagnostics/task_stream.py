"""``with get_task_stream() as stream:`` collects the tasks that run in a block."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from nbcluster.arguments import check_path
from nbcluster.client.client import Client
from nbcluster.client.defaults import check_client, default_client


class CollectedStream:
    """Collects which tasks run in a ``with`` or ``async with`` block.

    Args:
        client: whose cluster; None: the current client's.
        plot: have a Bokeh figure too; ``"save"`` writes it to a file as well.
        filename: the file.

    Attributes:
        data: as ``client.get_task_stream()`` returns it, after the block.
        figure: with ``plot``.

    Example:
        >>> with get_task_stream() as stream:
        ...     total = client.submit(sum, [1, 2]).result()
        >>> len(stream.data)
        1
    """

    def __init__(
        self, client: Client | None = None, plot: bool | str = False, filename: str = "task-stream.html"
    ) -> None:
        if plot not in (False, True, "save"):
            raise ValueError(f"plot={plot!r} is not allowed; give True, False or 'save'")
        check_path("filename", filename)
        self.data: list[dict[str, Any]] = []
        self.figure: Any = None
        self.client = default_client(None if client is None else check_client("client", client))
        self._plot = plot
        self._filename = filename
        self._start = 0.0

    def __repr__(self) -> str:
        return f"<get_task_stream: {len(self.data)} tasks>"

    def _begin(self) -> CollectedStream:
        self._start = time.time()
        return self

    def _ask(self) -> Any:
        return self.client.get_task_stream(start=self._start, plot=self._plot, filename=self._filename)

    def _take(self, answer: Any) -> None:
        self.data, self.figure = answer if self._plot else (answer, None)

    def __enter__(self) -> CollectedStream:
        if self.client.asynchronous:
            raise TypeError("this client is asynchronous; use 'async with', not 'with'")
        return self._begin()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._take(self._ask())

    async def __aenter__(self) -> CollectedStream:
        return self._begin()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._take(await self._ask())


get_task_stream = CollectedStream
"""The name under which it is used: ``with get_task_stream() as stream: …``."""
