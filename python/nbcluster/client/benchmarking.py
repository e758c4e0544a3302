"""How fast the workers' disks, memory and links are."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbcluster.client.data import DataClient
from nbcluster.client.running import RunningClient, results
from nbcluster.protocol.calling import dump_side_call
from nbcluster.protocol.messages import Scatter
from nbcluster.protocol.running import RunFunction
from nbcluster.types import Address

if TYPE_CHECKING:
    from nbcluster.bandwidth import Bandwidths

DISK_SECONDS, MEMORY_SECONDS, NETWORK_SECONDS = 0.5, 0.1, 0.3
"""How long each size is measured."""


class BenchmarkingClient(DataClient, RunningClient):
    """Measures the hardware."""

    def benchmark_hardware(self) -> Any:
        """Measure how fast the workers' disks, memory and links are. It takes about five seconds.

        All workers measure at the same time, beside their tasks, so those of one machine share what it has. Links are
        measured in pairs, the way in which results go from one worker to another: on one machine large ones are mapped,
        not sent, and between workers that are threads nothing is copied but by the reader.

        Returns:
            ``{"disk": {…}, "memory": {…}, "network": {…}}``: bytes per second by the size of what was written, copied
            or fetched at a time, on average over the workers. Without a pair of workers ``"network"`` is empty.

        Example:
            >>> client.benchmark_hardware()["memory"]["10 MiB"] > 0
            True
        """
        return self._sync(self._benchmark)

    async def _benchmark(self) -> dict[str, Bandwidths]:
        from nbcluster import bandwidth

        disk = await self._measured(bandwidth.measure_disk, DISK_SECONDS)
        memory = await self._measured(bandwidth.measure_memory, MEMORY_SECONDS)
        workers = random.sample(list(memory), len(memory))  # workers of one machine tend to be next to each other
        pairs = zip(workers[::2], workers[1::2], strict=False)
        network = await asyncio.gather(*(self._between(reader, holder) for reader, holder in pairs))
        found = {"disk": list(disk.values()), "memory": list(memory.values()), "network": network}
        return {part: bandwidth.mean(measured) for part, measured in found.items()}

    async def _between(self, reader: Address, holder: Address) -> Bandwidths:
        from nbcluster.bandwidth import NETWORK_SIZES, measure_network

        items = await asyncio.to_thread(
            lambda: [self._data_item(random.randbytes(size), False) for size in NETWORK_SIZES.values()]
        )
        keys = [item.key for item in items]
        states = self._session.wants.add(keys, None, Scatter(items, [holder], False), None)  # held until the end
        await self._session.wait(states)
        by_size = dict(zip(NETWORK_SIZES, keys, strict=True))
        [found] = (await self._measured(measure_network, holder, by_size, NETWORK_SECONDS, workers=[reader])).values()
        return found

    async def _measured(
        self, function: Callable[..., Any], *args: Any, workers: list[Address] | None = None
    ) -> dict[Address, Bandwidths]:
        call = dump_side_call(function, args, {})
        return results(await self._session.run(lambda request: RunFunction(request, call, workers)), "raise")
