"""How much memory a cluster takes while something runs."""

from __future__ import annotations

import asyncio
import importlib
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from nbcluster.arguments import check_choice, check_flag, check_text
from nbcluster.client.client import Client
from nbcluster.client.defaults import check_client, default_client
from nbcluster.snapshot import ClusterView, WorkerView
from nbcluster.types import WorkerName
from nbcluster.units import parse_seconds

Samples = list[tuple[float, int]]

OLD = 30.0
"""Seconds after which memory that is not results counts as kept for long."""


class _Memory:
    """A cluster's memory at one moment."""

    def __init__(self, view: ClusterView, unmanaged_old: int) -> None:
        self.process = sum(worker.memory for worker in view.workers)
        self.managed = sum(worker.stored for worker in view.workers) + view.shared
        self.spilled = sum(worker.spilled for worker in view.workers)
        self.unmanaged = sum(_unmanaged(worker) for worker in view.workers)
        self.unmanaged_old = unmanaged_old


_MEASURES: dict[str, Callable[[_Memory], int]] = {
    "process": lambda memory: memory.process,
    "managed": lambda memory: memory.managed,
    "spilled": lambda memory: memory.spilled,
    "managed_total": lambda memory: memory.managed + memory.spilled,
    "unmanaged": lambda memory: memory.unmanaged,
    "unmanaged_old": lambda memory: memory.unmanaged_old,
    "unmanaged_recent": lambda memory: memory.unmanaged - memory.unmanaged_old,
    "optimistic": lambda memory: memory.managed + memory.unmanaged_old,
}


class MemorySampler:
    """Samples the memory of all workers of a cluster, for as long as a block runs.

    Attributes:
        samples: by label: pairs of seconds since the epoch and bytes.

    Example:
        >>> sampler = MemorySampler()
        >>> with sampler.sample("sum"):
        ...     total = client.submit(sum, [1, 2]).result()
        >>> list(sampler.samples)
        ['sum']
    """

    def __init__(self) -> None:
        self.samples: dict[str, Samples] = {}

    def __repr__(self) -> str:
        return f"<MemorySampler: {', '.join(self.samples) or 'no samples yet'}>"

    def sample(
        self,
        label: str | None = None,
        *,
        client: Client | None = None,
        measure: str = "process",
        interval: float | str = 0.5,
    ) -> Any:
        """Sample in a ``with`` block; with an asynchronous client: ``async with``.

        Args:
            label: what to call the samples; by default a name of its own.
            client: whose cluster; None: the current client's.
            measure: ``"process"`` (what the processes take), ``"managed"`` (results in memory), ``"spilled"`` (results
                on disk), ``"managed_total"`` (both), ``"unmanaged"`` (what the processes take and is not results),
                ``"unmanaged_old"`` (the least of it that was seen in the last 30 s of the block),
                ``"unmanaged_recent"`` (the rest of it), or ``"optimistic"`` (``managed`` and ``unmanaged_old``: what
                is left if all that is recent goes soon).
            interval: seconds between samples.

        Raises:
            ValueError: ``measure`` is none of these, or ``interval`` is not positive.
        """
        check_choice("measure", measure, *_MEASURES)
        if label is not None:
            check_text("label", label)
        seconds = parse_seconds(interval, "interval")
        if seconds <= 0:
            raise ValueError(f"interval={interval!r} is out of range; give a positive number of seconds")
        chosen = default_client(None if client is None else check_client("client", client))
        name = label or uuid.uuid4().hex
        follower = _Follower(chosen, _MEASURES[measure], seconds)
        return self._sample_async(name, follower) if chosen.asynchronous else self._sample(name, follower)

    @contextmanager
    def _sample(self, label: str, follower: _Follower) -> Iterator[None]:
        follower.client._sync(follower.begin)
        try:
            yield
        finally:
            self.samples[label] = follower.client._sync(follower.end)

    @asynccontextmanager
    async def _sample_async(self, label: str, follower: _Follower) -> AsyncIterator[None]:
        await follower.begin()
        try:
            yield
        finally:
            self.samples[label] = await follower.end()

    def to_pandas(self, *, align: bool = False) -> Any:
        """The samples as a pandas DataFrame, a column for each label.

        Args:
            align: count time from each label's first sample.
        """
        check_flag("align", align)
        pd = importlib.import_module("pandas")
        columns = {}
        for label, samples in self.samples.items():
            moments = pd.to_datetime([moment for moment, _ in samples], unit="s")
            index = moments - moments[0] if align else moments
            column = pd.Series([nbytes for _, nbytes in samples], index=index, name=label)
            columns[label] = column[~column.index.duplicated()]
        frame = pd.DataFrame(columns)
        if len(columns) > 1:  # within a label's time, its last sample holds until the next
            frame = frame.ffill().where(frame.bfill().notna())
        return frame

    def plot(self, *, align: bool = False, **kwargs: Any) -> Any:
        """Plot all samples with pandas; ``kwargs`` are those of ``DataFrame.plot``."""
        frame = self.to_pandas(align=align) / 2**30
        return frame.plot(**{"xlabel": "time", "ylabel": "Cluster memory (GiB)", **kwargs})


class _Follower:
    """Samples on the client's event loop."""

    def __init__(self, client: Client, measure: Callable[[_Memory], int], interval: float) -> None:
        self.client = client
        self._measure = measure
        self._lately = _Lately()
        self._interval = interval
        self._samples: Samples = []
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Take the first sample, and go on."""
        await self._look()
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def end(self) -> Samples:
        """Stop; returns what was sampled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        return self._samples

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self._look()

    async def _look(self) -> None:
        view = await self.client._view()
        memory = _Memory(view, self._lately.least(view, time.monotonic()))
        self._samples.append((time.time(), self._measure(memory)))


class _Lately:
    """What workers took beyond results, in the last 30 s."""

    def __init__(self) -> None:
        self._seen: dict[WorkerName, deque[tuple[float, int]]] = {}

    def least(self, view: ClusterView, now: float) -> int:
        """Look once more; returns the least of each worker, added up."""
        self._seen = {worker.name: self._seen.get(worker.name, deque()) for worker in view.workers}
        for worker in view.workers:
            seen = self._seen[worker.name]
            seen.append((now, _unmanaged(worker)))
            while seen[0][0] < now - OLD:
                seen.popleft()
        return sum(min(nbytes for _, nbytes in seen) for seen in self._seen.values())


def _unmanaged(worker: WorkerView) -> int:
    return max(0, worker.memory - worker.stored)
