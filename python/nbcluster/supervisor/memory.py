"""Watching how much memory workers use, and ending the one that breaks its limit before the machine suffers.

    resident memory of the worker, now and then ──▶ below 70 %: fine
                                               └──▶ else: what the worker and all it started really use

Resident memory is cheap to read and counts too much: pages that a worker shares with the zygote that it was
forked from, and with the processes that read its results. So before anybody is ended, such pages are counted in
equal parts with those who share them.

How soon to look again follows from how soon a limit could be reached: an idle cluster is hardly looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol

from nbcluster.beats import until_beat
from nbcluster.process_memory import resident, used
from nbcluster.supervisor import descendants
from nbcluster.types import WorkerName
from nbcluster.units import format_bytes

logger = logging.getLogger("nbcluster.supervisor")

CLOSE = 0.7
"""Share of the limit above which memory is counted exactly."""
TERMINATE = 0.95
"""Share of the limit at which a worker is asked to end; at the limit itself it is killed."""
PATIENCE = 0.5
"""Seconds that it has for ending when it was asked to."""
FASTEST = 4e9
"""Bytes per second: no process touches fresh memory faster than about this."""
SOONEST, LATEST = 0.05, 0.5
"""Seconds between two looks, from ``LATEST`` on those between two beats."""
UNLIMITED = 1.0
"""The same for workers that may use any amount."""
TREE_BUSY, TREE_IDLE = 2.0, 10.0
"""Seconds between two searches for processes that tasks have started: a look at all processes is not free.
Only a worker that does something can have started one."""

CPU_SAMPLE = 0.75
"""Seconds, at least, that a figure of processor time is about: looks a second apart may be a little less."""
IDLE_CPU = 2.0
"""Per cent of a core that a worker may need for telling that it is there."""


class Watched(Protocol):
    """What a worker's process can be told."""

    pid: int

    def terminate(self) -> None:
        """End, please."""

    def kill(self) -> None:
        """End."""


class _Gauge:
    """Reads the memory and the CPU time of one process, cheaply: two reads of open files."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._files = [os.open(f"/proc/{pid}/{name}", os.O_RDONLY) for name in ("statm", "stat")]
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._tick = 1.0 / os.sysconf("SC_CLK_TCK")

    def resident(self) -> int:
        return int(os.pread(self._files[0], 128, 0).split()[1]) * self._page

    def cpu_seconds(self) -> float:
        fields = os.pread(self._files[1], 1024, 0).rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) * self._tick

    def close(self) -> None:
        for fd in self._files:
            os.close(fd)


class _PortableGauge:
    """The same where there is no ``/proc``."""

    def __init__(self, pid: int) -> None:
        import psutil

        self._gone = psutil.Error
        try:
            self._process = psutil.Process(pid)
        except self._gone as error:
            raise ProcessLookupError(str(error)) from error

    def resident(self) -> int:
        try:
            return int(self._process.memory_info().rss)
        except self._gone as error:
            raise ProcessLookupError(str(error)) from error

    def cpu_seconds(self) -> float:
        try:
            times = self._process.cpu_times()
        except self._gone as error:
            raise ProcessLookupError(str(error)) from error
        return float(times.user + times.system)

    def close(self) -> None:
        """Nothing is open."""


class _Entry:
    def __init__(self, process: Watched, limit: Callable[[], int | None]) -> None:
        self.process = process
        self.limit = limit
        self.gauge: _Gauge | _PortableGauge = (
            _Gauge(process.pid) if sys.platform == "linux" else _PortableGauge(process.pid)
        )
        self.children: list[int] = []
        self.memory = 0
        self.cpu = 0.0
        self.cpu_sample = (time.monotonic(), self.gauge.cpu_seconds())
        self.breach = ""
        self.asked_at: float | None = None


class MemoryMonitor:
    """Watches the workers of one cluster, on its event loop.

    Args:
        terminate: share of its limit at which a worker is asked to end; None: none is ever ended for its memory.
    """

    def __init__(self, terminate: float | None = TERMINATE) -> None:
        self._terminate = terminate
        self._entries: dict[WorkerName, _Entry] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._last_tree = self._next_tree = 0.0
        self._looking: asyncio.Future[descendants.Table] | None = None
        """A look at all processes: each file of theirs lets other threads in, and a busy one comes out late."""

    def watch(self, name: WorkerName, process: Watched, limit: Callable[[], int | None]) -> None:
        """Watch a worker; ``limit`` is asked each time, for it changes when the cluster is scaled."""
        try:
            self._entries[name] = _Entry(process, limit)
        except OSError:
            return  # it has ended already, and whoever waits for that will know
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SOONEST, self._look)

    def forget(self, name: WorkerName) -> str:
        """Watch it no more. Returns why it was ended, if it was, as in "was killed at …"."""
        entry = self._entries.pop(name, None)
        if entry is None:
            return ""
        entry.gauge.close()
        return entry.breach

    def memory(self, name: WorkerName) -> int:
        """Bytes that a worker uses, with all that its tasks started; 0 if it is not watched."""
        entry = self._entries.get(name)
        return 0 if entry is None else entry.memory

    def cpu(self, name: WorkerName) -> float:
        """How busy a worker is, in per cent of one core."""
        entry = self._entries.get(name)
        return 0.0 if entry is None else entry.cpu

    def close(self) -> None:
        """Watch nothing any more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in list(self._entries):
            self.forget(name)

    def _look(self) -> None:
        now = time.monotonic()
        if sys.platform == "linux" and now >= self._next_tree and self._looking is None:
            with contextlib.suppress(RuntimeError):  # no thread begins anything when the interpreter ends
                self._looking = asyncio.get_running_loop().run_in_executor(None, descendants.look)
                self._looking.add_done_callback(self._have_looked)
        pause = UNLIMITED
        for entry in self._entries.values():
            try:
                pause = min(pause, self._check(entry, now))
            except OSError:
                continue  # it has just ended
        if self._entries:
            pause = until_beat(pause) if pause >= LATEST else pause  # close to a limit, no moment is lost
            self._timer = asyncio.get_running_loop().call_later(pause, self._look)
        else:
            self._timer = None

    def _check(self, entry: _Entry, now: float) -> float:
        """Look at one worker; returns in how many seconds to do so again."""
        memory = entry.gauge.resident() + sum(resident(pid) for pid in entry.children)
        since, before = entry.cpu_sample
        if now - since >= CPU_SAMPLE:
            seconds = entry.gauge.cpu_seconds()
            entry.cpu = 100.0 * (seconds - before) / (now - since)
            entry.cpu_sample = (now, seconds)
            if entry.cpu > IDLE_CPU:
                self._next_tree = min(self._next_tree, self._last_tree + TREE_BUSY)
        limit = entry.limit()
        if limit is None:
            entry.memory = memory
            return UNLIMITED
        if memory > CLOSE * limit:
            if entry.children:  # they may have ended, and others may have got their numbers
                self._find_children(descendants.look(), now)
            memory = sum(used(pid) for pid in (entry.process.pid, *entry.children))
        entry.memory = memory
        if self._terminate is not None and memory > self._terminate * limit:
            self._end(entry, memory, limit, now)
        return min(max((limit - memory) / FASTEST / 2, SOONEST), LATEST)

    def _end(self, entry: _Entry, memory: int, limit: int, now: float) -> None:
        if not entry.breach:
            entry.breach = f"was killed at {format_bytes(memory)} of its limit of {format_bytes(limit)}"
        if memory >= limit or (entry.asked_at is not None and now - entry.asked_at >= PATIENCE):
            entry.process.kill()
        elif entry.asked_at is None:
            entry.asked_at = now
            entry.process.terminate()

    def _have_looked(self, looking: asyncio.Future[descendants.Table]) -> None:
        self._looking = None
        if looking.cancelled():
            return
        if (error := looking.exception()) is not None:
            logger.warning("Could not look for what tasks have started: %r", error)
            self._next_tree = time.monotonic() + TREE_IDLE
            return
        self._find_children(looking.result(), time.monotonic())

    def _find_children(self, table: descendants.Table, now: float) -> None:
        for entry in self._entries.values():
            family = descendants.descendants(table, [entry.process.pid])
            entry.children = sorted(family - {entry.process.pid})
        some = any(entry.children for entry in self._entries.values())
        self._last_tree = now
        self._next_tree = now + (TREE_BUSY / 4 if some else TREE_IDLE)
