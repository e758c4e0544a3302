"""An engine without processes: it keeps the contract of ``engines.base``, in memory, for tests of what
stands on it.

Tests act as the outside world through ``finish_start``, ``change`` and ``die``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, ClassVar

from msgspec.structs import replace

from nbcluster.commands import (
    Adapt,
    AnyAnswer,
    AnyCommand,
    Close,
    GetLogs,
    GetTaskStream,
    Logs,
    Restart,
    Scale,
    SetOwner,
    StopAdapting,
    StopWorkers,
    TaskStream,
    View,
    WhoMayGo,
    Workers,
    validate,
)
from nbcluster.engines.base import Engine, OnView
from nbcluster.engines.registry import EngineSpec
from nbcluster.errors import ClusterClosedError, ClusterError
from nbcluster.snapshot import AdaptiveView, ClusterView, LogLine, WorkerView
from nbcluster.types import Address, Status

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class FakeEngine(Engine):
    """Starts at once, unless ``held``; has as many workers as it was last told."""

    made: ClassVar[list[FakeEngine]] = []

    def __init__(self, spec: EngineSpec, held: bool = False, failure: str = "") -> None:
        self.spec = spec
        self.commands: list[AnyCommand] = []
        self._may_start = asyncio.Event()
        if not held:
            self._may_start.set()
        self._failure = failure
        self._lines: list[LogLine] = []
        self._subscribers: list[OnView] = []
        threads = spec.keywords.get("threads_per_worker") or 1
        self._view = ClusterView(
            id=spec.id,
            name=spec.name,
            status=Status.CREATED,
            threads_per_worker=threads,
            requested=spec.keywords.get("n_workers", 2),
            capacity=8,
            version=1,
        )
        FakeEngine.made.append(self)

    @property
    def address(self) -> Address:
        return self._view.address

    @property
    def dashboard_socket(self) -> str:
        return f"/run/{self.spec.id}.sock" if self.status is Status.RUNNING else ""

    @property
    def status(self) -> Status:
        return self._view.status

    @property
    def view(self) -> ClusterView:
        return self._view

    async def start(self) -> None:
        self.change(status=Status.STARTING, message="Starting the cluster's process")
        await self._may_start.wait()
        if self._failure:
            self.change(status=Status.FAILED)
            raise ClusterError(self._failure)
        self.change(
            status=Status.RUNNING,
            message="",
            address=f"tcp://127.0.0.1:{len(FakeEngine.made)}",
            started=time.time(),
        )
        self._have(self._view.requested)

    async def call(self, command: AnyCommand) -> AnyAnswer:
        validate(command)
        if self.status in (Status.CLOSING, Status.CLOSED, Status.FAILED):
            raise ClusterClosedError(f"cluster {self.spec.name!r} is {self.status}")
        self.commands.append(command)
        if isinstance(command, GetLogs):
            return Logs(lines=self._select(command))
        if isinstance(command, GetTaskStream):
            return TaskStream(records=[])
        if isinstance(command, WhoMayGo):
            return Workers(names=command.names)
        if isinstance(command, Close):
            await self.close()
            return None
        if isinstance(command, Scale):
            self._have(command.n, adaptive=None)
        elif isinstance(command, StopWorkers):
            stay = [worker for worker in self._view.workers if worker.name not in command.names]
            self.change(workers=stay, requested=len(stay))
        elif isinstance(command, Adapt):
            adaptive = AdaptiveView(
                minimum=command.minimum, maximum=command.maximum, target=command.minimum, reason="asked for"
            )
            self._have(max(command.minimum, 1), adaptive=adaptive)
        elif isinstance(command, StopAdapting):
            self.change(adaptive=None)
        elif isinstance(command, Restart):
            self._have(0)
            self._have(self._view.requested)
        elif isinstance(command, SetOwner):
            self.change(owner=command.owner)
        return View(cluster=self._view)

    def subscribe(self, on_view: OnView, interval: float = 1.0) -> Callable[[], None]:
        self._subscribers.append(on_view)
        return lambda: self._subscribers.remove(on_view) if on_view in self._subscribers else None

    async def close(self, timeout: float = 10.0) -> None:
        if self.status is not Status.CLOSED:
            self.change(status=Status.CLOSING)
            await asyncio.sleep(0)
            self.change(status=Status.CLOSED, workers=[])

    # --- what the outside world does --------------------------------------------------------------

    def finish_start(self, failure: str = "") -> None:
        """Let a held start go on."""
        self._failure = failure
        self._may_start.set()

    def change(self, **changes: Any) -> None:
        """Something happened in the cluster."""
        self._view = replace(self._view, time=time.time(), **changes)
        for on_view in list(self._subscribers):
            on_view(self._view)

    def die(self, message: str) -> None:
        """The cluster's process is gone."""
        self.change(status=Status.FAILED, message=message, workers=[])

    def log(self, text: str, level: str = "INFO", worker: int | str | None = None) -> None:
        """The cluster logs a line."""
        source = "Cluster" if worker is None else str(worker)
        number = len(self._lines) + 1
        line = LogLine(time=time.time(), source=source, level=level, text=text, worker=worker, number=number)
        self._lines.append(line)

    # --- inside -----------------------------------------------------------------------------------

    def _have(self, n: int, **changes: Any) -> None:
        workers = [
            WorkerView(name=i, address=f"unix://{i}", status=Status.RUNNING, nthreads=self._view.threads_per_worker)
            for i in range(n)
        ]
        self.change(workers=workers, requested=n, **changes)

    def _select(self, command: GetLogs) -> list[LogLine]:
        floor = LEVELS.index(command.level) if command.level else 0
        return [
            line
            for line in self._lines
            if line.number > command.after
            and (command.worker is None or line.worker == command.worker)
            and (line.level not in LEVELS or LEVELS.index(line.level) >= floor)
        ][-command.limit :]
