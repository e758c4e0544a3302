"""How much memory a cluster takes while something runs."""

from __future__ import annotations

import asyncio
import importlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from nbcluster.client.client import Client
from nbcluster.client.defaults import default_client
from nbcluster.snapshot import ClusterView
from nbcluster.units import parse_seconds

Samples = list[tuple[float, int]]

_MEASURES: dict[str, Callable[[ClusterView], int]] = {
    "process": lambda view: sum(worker.memory for worker in view.workers),
    "managed": lambda view: sum(worker.stored + worker.spilled for worker in view.workers) + view.shared,
    "managed_in_memory": lambda view: sum(worker.stored for worker in view.workers) + view.shared,
    "managed_spilled": lambda view: sum(worker.spilled for worker in view.workers),
    "unmanaged": lambda view: sum(max(0, worker.memory - worker.stored) for worker in view.workers),
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
            measure: ``"process"`` (what the processes take), ``"managed"`` (results, with those on disk),
                ``"managed_in_memory"``, ``"managed_spilled"`` or ``"unmanaged"`` (what is not results).
            interval: seconds between samples.
        """
        if measure not in _MEASURES:
            raise ValueError(f"measure={measure!r} is not allowed; give one of {', '.join(_MEASURES)}")
        seconds = parse_seconds(interval, "interval")
        if seconds <= 0:
            raise ValueError(f"interval={interval!r} is out of range; give a positive number of seconds")
        chosen = default_client(client)
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

    def __init__(self, client: Client, measure: Callable[[ClusterView], int], interval: float) -> None:
        self.client = client
        self._measure = measure
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
        self._samples.append((time.time(), self._measure(await self.client._view())))
