"""Our own engine in this very process: what a script's ``LocalCluster`` is."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from nbcluster.cluster.runtime import ClusterRuntime
from nbcluster.cluster.spec import ClusterSpec
from nbcluster.commands import AnyAnswer, AnyCommand
from nbcluster.engines.base import Access, Engine, OnView
from nbcluster.snapshot import ClusterView
from nbcluster.types import Address, Status


class InProcessEngine(Engine):
    """Scheduler and supervisor on the running event loop of this process."""

    def __init__(self, spec: ClusterSpec) -> None:
        self._runtime = ClusterRuntime(spec)
        self._last: ClusterView | None = None

    @property
    def address(self) -> Address:
        """Where clients connect."""
        return self._runtime.address

    @property
    def status(self) -> Status:
        """Where it is in its life."""
        return self._runtime.status

    @property
    def view(self) -> ClusterView:
        """A fresh view; after the end, the last one."""
        if self.status in (Status.STARTING, Status.RUNNING) and hasattr(self._runtime, "crew"):
            return self._runtime.view()
        return self._last or self._blank()

    @property
    def access(self) -> Access:
        """The way in from this process."""
        return Access(self._runtime.inproc_address, self._runtime.token)

    async def start(self) -> None:
        """Start everything here."""
        await self._runtime.start()

    async def call(self, command: AnyCommand) -> AnyAnswer:
        """Carry out a command."""
        return await self._runtime.call(command)

    def subscribe(self, on_view: OnView, interval: float = 1.0) -> Callable[[], None]:
        """Have views after changes."""
        return self._runtime.observe(on_view, interval)

    async def close(self, timeout: float = 10.0) -> None:
        """End everything."""
        if self.status == Status.RUNNING:
            self._last = msgspec.structs.replace(self._runtime.view(), status=Status.CLOSED, workers=[])
        await self._runtime.close()

    def _blank(self) -> ClusterView:
        """What is known before anything runs."""
        spec = self._runtime.spec
        return ClusterView(id=spec.id, name=spec.name, status=self.status, requested=spec.n_workers)
