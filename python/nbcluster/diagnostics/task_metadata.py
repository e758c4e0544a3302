"""``with get_task_metadata() as tasks:`` tells how the tasks of a block ended, and where they ran."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from nbcluster.client.client import Client
from nbcluster.client.defaults import default_client
from nbcluster.plugins.collecting import CollectStates, collected


class CollectedMetadata:
    """Collects, in a ``with`` or ``async with`` block, what becomes of the tasks that are submitted and done in it.

    Attributes:
        state: ``"memory"`` or ``"erred"`` by key, after the block; None before.
        metadata: by key what the stream of tasks has of its latest run: a dict with ``worker``, ``thread``,
            ``status``, ``nbytes`` and so on; empty for a task that did not run because one before it failed.

    Example:
        >>> with get_task_metadata() as tasks:
        ...     total = client.submit(sum, [1, 2], key="total").result()
        >>> tasks.state
        {'total': 'memory'}
        >>> tasks.metadata["total"]["status"]
        'OK'
    """

    def __init__(self) -> None:
        self.state: dict[str, str] | None = None
        self.metadata: dict[str, dict[str, Any]] | None = None
        self._client: Client
        self._plugin: CollectStates
        self._start = 0.0

    def __repr__(self) -> str:
        ended = "not ended yet" if self.state is None else f"{len(self.state)} tasks"
        return f"<get_task_metadata: {ended}>"

    def _begin(self) -> Any:
        self._client = default_client()
        self._plugin = CollectStates()
        self._start = time.time()
        return self._client

    def _end(self, states: dict[str, str], runs: list[dict[str, Any]]) -> None:
        latest = {run["key"]: run for run in runs}
        self.state = states
        self.metadata = {key: latest.get(key, {}) for key in states}

    def __enter__(self) -> CollectedMetadata:
        client = self._begin()
        if client.asynchronous:
            raise TypeError("this client is asynchronous; use 'async with', not 'with'")
        client.register_plugin(self._plugin)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        client, name = self._client, self._plugin.name
        self._end(client.run_on_scheduler(collected, name), client.get_task_stream(start=self._start))
        client.unregister_scheduler_plugin(name)

    async def __aenter__(self) -> CollectedMetadata:
        await self._begin().register_plugin(self._plugin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        client, name = self._client, self._plugin.name
        self._end(await client.run_on_scheduler(collected, name), await client.get_task_stream(start=self._start))
        await client.unregister_scheduler_plugin(name)


get_task_metadata = CollectedMetadata
"""The name under which it is used: ``with get_task_metadata() as tasks: …``."""
