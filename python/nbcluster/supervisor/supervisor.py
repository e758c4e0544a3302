"""Keeps the workers of a cluster running: one slot for each name that there should be.

    start(name) ─▶ slot ─ policy ─▶ process ─▶ exited ─▶ who was running what? ─▶ worker_exited(…)
                     ▲                                          │
                     └────────────── policy: when? ◀────────────┘

A slot goes only when it is stopped. How its process ended, what its threads were executing, and its last lines are
told before anything is restarted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from nbcluster.comm.tasks import TaskOwner
from nbcluster.deadlines import within
from nbcluster.errors import ClusterError, TimeoutError
from nbcluster.supervisor.logs import LogBook
from nbcluster.supervisor.memory import TERMINATE, MemoryMonitor
from nbcluster.supervisor.policy import (
    Event,
    RestartPolicy,
    SlotAdded,
    SlotRemoved,
    StartWorker,
    TimePassed,
    WakeAt,
    WorkerExited,
    WorkerJoined,
)
from nbcluster.supervisor.process import ExitStatus, Starter, WorkerProcess
from nbcluster.types import RunId, Status, WorkerName
from nbcluster.units import format_bytes

logger = logging.getLogger("nbcluster.supervisor")

GRACE = 3.0
"""Seconds that a worker has for ending when it was asked to."""


class WorkerSpec(NamedTuple):
    """What a supervisor needs to know of a worker."""

    config: bytes
    """Its ``WorkerConfig``, in msgpack."""
    token: bytes


class Port(Protocol):
    """Whom a supervisor serves."""

    def worker_spec(self, name: WorkerName) -> WorkerSpec:
        """What to start."""

    def worker_limit(self, name: WorkerName) -> int | None:
        """Bytes that it may use at most, at this moment; None means no limit."""

    def worker_exited(self, name: WorkerName, pid: int, cause: str, running: frozenset[RunId], log: str) -> None:
        """Its process has ended: how, what it was running, and what it wrote last."""


class SlotView(NamedTuple):
    """What is known of a slot."""

    status: Status
    pid: int | None
    """None while there is no process."""
    restarts: int
    last_exit: str
    memory: int
    cpu: float


class _Slot:
    def __init__(self, name: WorkerName) -> None:
        self.name = name
        self.process: WorkerProcess | None = None
        self.life: asyncio.Task[None] | None = None
        self.last_exit = ""
        self.crashed = True
        """Whether the end of its process, when it comes, is to be counted against it."""


class Supervisor:
    """Starts, watches, restarts and stops worker processes, on the running event loop.

    Args:
        make_starter: makes the one who starts processes; called again if that breaks.
        port: whom it serves.
        book: takes what workers write.
        policy: when to restart.
        terminate: share of its memory limit at which a worker is ended; None: never.
    """

    def __init__(
        self,
        make_starter: Callable[[], Starter],
        port: Port,
        book: LogBook,
        policy: RestartPolicy | None = None,
        terminate: float | None = TERMINATE,
    ) -> None:
        self._make_starter = make_starter
        self._port = port
        self._book = book
        self._policy = policy or RestartPolicy()
        self._memory = MemoryMonitor(terminate)
        self._tasks = TaskOwner("supervisor")
        self._slots: dict[WorkerName, _Slot] = {}
        self._starter: Starter | None = None
        self._starting = asyncio.Lock()
        self._wake: asyncio.TimerHandle | None = None
        self._wake_time = 0.0
        self._closing = False
        self._closed = asyncio.Event()

    # --- life ---

    async def open(self) -> None:
        """Get ready to start workers.

        Raises:
            ClusterError: they cannot be started here; says why.
        """
        await self._ready_starter()

    async def close(self, timeout: float = GRACE) -> None:
        """Stop all workers at once, gently until ``timeout``, and everything else. Idempotent."""
        if self._closing:
            await self._closed.wait()
            return
        self._closing = True
        try:
            if self._wake is not None:
                self._wake.cancel()
            await asyncio.gather(*(self.stop(name, timeout) for name in list(self._slots)))
            if self._starter is not None:
                await self._starter.close()
            self._memory.close()
            await self._tasks.close()
        finally:
            self._closed.set()

    # --- slots ---

    def start(self, names: Iterable[WorkerName]) -> None:
        """Have workers of these names from now on; nothing happens for those that there are."""
        for name in names:
            if name not in self._slots and not self._closing:
                self._slots[name] = _Slot(name)
                self._decide(SlotAdded(name))

    def joined(self, name: WorkerName) -> None:
        """A worker has registered with the scheduler: it is up."""
        self._decide(WorkerJoined(name))

    def expect_end(self, name: WorkerName, *, restart: bool) -> None:
        """A worker is about to end by itself, in good order; whether another is to follow."""
        slot = self._slots.get(name)
        if slot is not None:
            slot.crashed = False
            if not restart:
                self._decide(SlotRemoved(name))

    async def stop(self, name: WorkerName, grace: float = GRACE) -> None:
        """Have no worker of this name: ask it to end, kill it after ``grace`` seconds. Idempotent."""
        slot = self._slots.get(name)
        if slot is None:
            return
        self._decide(SlotRemoved(name))
        slot.crashed = False
        life = slot.life
        if life is not None and not life.done():
            if slot.process is None:
                life.cancel()
            else:
                await _end(slot.process, grace)
            await asyncio.wait([life])
        if self._slots.get(name) is slot:
            del self._slots[name]

    async def restart(self, names: Iterable[WorkerName] | None = None, grace: float = 0.0) -> None:
        """End workers, all or these, and start them afresh; waits until the old ones are gone.

        Args:
            names: of those; None means all.
            grace: seconds that they have for ending when they are asked to.
        """
        lives, ends = [], []
        chosen = None if names is None else set(names)
        for slot in self._slots.values():
            if chosen is not None and slot.name not in chosen:
                continue
            if slot.process is not None and slot.life is not None:
                slot.crashed = False
                lives.append(slot.life)
                if grace:
                    ends.append(_end(slot.process, grace))
                else:
                    slot.process.kill()
            elif self._view(slot).status == Status.BROKEN:
                self._decide(SlotRemoved(slot.name))
                self._decide(SlotAdded(slot.name))
        await asyncio.gather(*ends)
        if lives:
            await asyncio.wait(lives)

    @property
    def slots(self) -> dict[WorkerName, SlotView]:
        """All slots, by name; those too that are being stopped."""
        return {name: self._view(slot) for name, slot in self._slots.items()}

    def _view(self, slot: _Slot) -> SlotView:
        name = slot.name
        try:
            status, restarts = self._policy.status(name), self._policy.restarts(name)
        except KeyError:
            status, restarts = Status.CLOSING, 0
        pid = None if slot.process is None else slot.process.pid
        return SlotView(status, pid, restarts, slot.last_exit, self._memory.memory(name), self._memory.cpu(name))

    # --- decisions ---

    def _decide(self, event: Event) -> None:
        for decision in self._policy.handle(event, time.monotonic()):
            if self._closing:
                return
            if isinstance(decision, StartWorker):
                slot = self._slots[decision.name]
                slot.life = self._tasks.start(self._live(slot), f"worker {decision.name}")
            elif isinstance(decision, WakeAt):
                self._wake_at(decision.time)

    def _wake_at(self, when: float) -> None:
        now = time.monotonic()
        if self._wake is not None:
            if self._wake_time <= when:
                return
            self._wake.cancel()
        self._wake_time = when
        self._wake = asyncio.get_running_loop().call_later(when - now, self._time_passed)

    def _time_passed(self) -> None:
        self._wake = None
        self._decide(TimePassed())

    # --- one process ---

    async def _live(self, slot: _Slot) -> None:
        """From the start of a process to its end."""
        name = slot.name
        slot.crashed = True
        try:
            starter = await self._ready_starter()
            spec = self._port.worker_spec(name)
            process = slot.process = await starter.spawn(name, spec.config, spec.token)
        except ClusterError as error:
            slot.last_exit = f"could not be started: {error}"
            self._book.add("ERROR", f"Worker {name} {slot.last_exit}", source="Cluster")
            self._decide(WorkerExited(name))
            return
        self._book.attach(name, process.stdout, "STDOUT")
        self._book.attach(name, process.stderr, "STDERR")
        self._memory.watch(name, process, lambda: self._port.worker_limit(name))
        self._ended(slot, process, await process.exited)

    def _ended(self, slot: _Slot, process: WorkerProcess, status: ExitStatus) -> None:
        name = slot.name
        breach = self._memory.forget(name)
        self._book.drain(name)
        suspects = frozenset(process.recorder.suspects())
        process.recorder.close()
        slot.process = None
        cause = slot.last_exit = breach or _cause(status)
        crashed = slot.crashed
        if crashed and not self._closing:
            logger.warning("Worker %s (pid %d) %s", name, process.pid, cause)
        self._port.worker_exited(name, process.pid, cause, suspects, self._book.tail(name))
        self._decide(WorkerExited(name, crashed))

    async def _ready_starter(self) -> Starter:
        async with self._starting:
            if self._starter is None:
                starter = self._make_starter()
                starter.on_lost = self._starter_lost
                await starter.start()
                self._starter = starter
            return self._starter

    def _starter_lost(self, text: str) -> None:
        """Its workers have ended with it; the next start of one needs another."""
        self._starter = None


async def _end(process: WorkerProcess, grace: float) -> None:
    process.terminate()
    try:
        await within(asyncio.shield(process.exited), grace)
    except TimeoutError:
        process.kill()
        await asyncio.shield(process.exited)


def _cause(status: ExitStatus) -> str:
    if status.code == 0 or not status.max_rss:
        return str(status)
    return f"{status}; its memory peaked at {format_bytes(status.max_rss)}"
