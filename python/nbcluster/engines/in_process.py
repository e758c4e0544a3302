"""Our own engine in this very process: what a script's ``LocalCluster`` is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from nbcluster.cluster.spec import ClusterSpec, interpreter_of
from nbcluster.commands import AnyAnswer, AnyCommand
from nbcluster.engines.base import Access, Engine, OnView
from nbcluster.errors import ClusterClosedError
from nbcluster.snapshot import ClusterView
from nbcluster.supervisor import launching
from nbcluster.types import Address, Status

if TYPE_CHECKING:
    from nbcluster.cluster.runtime import ClusterRuntime


class InProcessEngine(Engine):
    """Scheduler and supervisor on the running event loop of this process.

    They are imported at the start, after the zygote was launched: both take about as long, at the same time.
    """

    def __init__(self, spec: ClusterSpec) -> None:
        self._spec = spec
        self._runtime: ClusterRuntime | None = None
        self._idle = Status.CREATED
        self._last: ClusterView | None = None

    @property
    def address(self) -> Address:
        """Where clients connect."""
        return "" if self._runtime is None else self._runtime.address

    @property
    def status(self) -> Status:
        """Where it is in its life."""
        return self._idle if self._runtime is None else self._runtime.status

    @property
    def view(self) -> ClusterView:
        """A fresh view; after the end, the last one."""
        runtime = self._runtime
        if runtime is not None and self.status in (Status.STARTING, Status.RUNNING) and hasattr(runtime, "crew"):
            return runtime.view()
        return self._last or self._blank()

    @property
    def access(self) -> Access:
        """The way in from this process."""
        runtime = self._running()
        return Access(runtime.inproc_address, runtime.token)

    def _running(self) -> ClusterRuntime:
        if self._runtime is None:
            raise ClusterClosedError(f"the cluster {self._spec.name!r} is {self.status}")
        return self._runtime

    @property
    def scheduler(self) -> Any:
        """The scheduler, as plugins see it; None before the start."""
        return None if self._runtime is None else self._runtime.server.facade

    async def start(self) -> None:
        """Start everything here."""
        self._idle = Status.FAILED  # until there is something that knows better
        zygote = None
        if launching.AVAILABLE and not self._spec.in_process:
            interpreter = interpreter_of(self._spec)
            zygote = launching.launch(interpreter)
            zygote.prepare(interpreter)
        from nbcluster.cluster.runtime import ClusterRuntime

        self._runtime = ClusterRuntime(self._spec, zygote)
        await self._runtime.start()

    async def call(self, command: AnyCommand) -> AnyAnswer:
        """Carry out a command."""
        return await self._running().call(command)

    def subscribe(self, on_view: OnView, interval: float = 1.0) -> Callable[[], None]:
        """Have views after changes."""
        return self._running().observe(on_view, interval)

    async def close(self, timeout: float = 10.0) -> None:
        """End everything."""
        if self._runtime is None:
            self._idle = Status.CLOSED
            return
        if self.status == Status.RUNNING:
            self._last = msgspec.structs.replace(self._runtime.view(), status=Status.CLOSED, workers=[])
        await self._runtime.close()

    def _blank(self) -> ClusterView:
        """What is known before anything runs."""
        spec = self._spec
        return ClusterView(id=spec.id, name=spec.name, status=self.status, requested=spec.n_workers)
