"""A worker's process as its supervisor sees it, and the contract of those who start some."""

from __future__ import annotations

import asyncio
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from nbcluster.store.flight_recorder import FlightRecorder
from nbcluster.types import WorkerName

_NOTES = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "abort",
    signal.SIGILL: "illegal instruction",
    signal.SIGFPE: "arithmetic error",
}


class ExitStatus(NamedTuple):
    """How a process ended."""

    code: int
    """The exit code, or minus the number of the signal."""
    max_rss: int = 0
    """The most memory that it had, in bytes; 0 if unknown."""

    def __str__(self) -> str:
        """What it did, without a subject: ``"was killed by SIGSEGV (segmentation fault)"``."""
        if self.code >= 0:
            return f"exited with code {self.code}"
        try:
            number = signal.Signals(-self.code)
        except ValueError:
            return f"was killed by signal {-self.code}"
        note = f" ({_NOTES[number]})" if number in _NOTES else ""
        return f"was killed by {number.name}{note}"


class WorkerProcess:
    """One worker's process, from its start to its end.

    Args:
        name: the worker's.
        pid: of the process.
        stdout: where what it prints can be read; belongs to whoever reads it.
        stderr: the same.
        recorder: what its threads are running.
        send_signal: reaches it as long as it lives, and nobody else.
        kill: ends it with all its descendants.
    """

    def __init__(
        self,
        name: WorkerName,
        pid: int,
        stdout: int,
        stderr: int,
        recorder: FlightRecorder,
        send_signal: Callable[[int], None],
        kill: Callable[[], None],
    ) -> None:
        self.name = name
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.recorder = recorder
        self.exited: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        """How it ended; by then its descendants have ended too."""
        self._send_signal = send_signal
        self._kill = kill

    def __repr__(self) -> str:
        state = self.exited.result() if self.exited.done() else "running"
        return f"<WorkerProcess {self.name!r} pid={self.pid} {state}>"

    def terminate(self) -> None:
        """Ask it to end."""
        if not self.exited.done():
            self._send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it, and what it started, at once."""
        if not self.exited.done():
            self._kill()


class Starter(ABC):
    """Starts worker processes, all in the same surroundings; lives on one event loop."""

    on_lost: Callable[[str], None] = staticmethod(lambda text: None)
    """Called when it cannot start any more though nobody closed it, with what it said last."""

    @abstractmethod
    async def start(self) -> None:
        """Get ready.

        Raises:
            ClusterError: workers cannot be started here; says what the process said.
        """

    @abstractmethod
    async def spawn(self, name: WorkerName, config: bytes, token: bytes) -> WorkerProcess:
        """Start a worker's process.

        Args:
            name: the worker's.
            config: its ``WorkerConfig``, in msgpack.
            token: the cluster's secret.

        Raises:
            ClusterError: it could not be started.
        """

    @abstractmethod
    async def close(self) -> None:
        """End all its workers, with all their descendants, and itself. Idempotent."""


def output_pipes() -> tuple[tuple[int, int], tuple[int, int]]:
    """Pipes for a worker's stdout and stderr, as (read, write); reading never blocks."""
    pipes = os.pipe(), os.pipe()
    for read, _ in pipes:
        os.set_blocking(read, False)
    return pipes
