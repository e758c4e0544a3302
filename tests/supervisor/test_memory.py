from __future__ import annotations

import asyncio
import mmap
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from nbcluster.process_memory import resident, used
from nbcluster.supervisor import descendants, memory
from nbcluster.supervisor.memory import MemoryMonitor
from tests.support.eventually import soon

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MIB = 1 << 20


class Hoarder:
    """A process of so many bytes; ends when it is told to, and records how."""

    def __init__(self, size: int, listens: bool = True) -> None:
        script = f"import sys; x = bytearray({size}); print('up', flush=True); sys.stdin.read()"
        self._process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"up\n"
        self.pid = self._process.pid
        self.told: list[str] = []
        self._listens = listens

    def terminate(self) -> None:
        self.told.append("terminate")
        if self._listens:
            self._end()

    def kill(self) -> None:
        self.told.append("kill")
        self._end()

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Hoarder:
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()


def test_memory_and_cpu_are_measured() -> None:
    async def main() -> None:
        with Hoarder(100 * MIB) as process:
            monitor = MemoryMonitor()
            monitor.watch(0, process, lambda: None)
            await soon(lambda: monitor.memory(0) > 100 * MIB)
            assert monitor.memory(0) < 200 * MIB
            assert 0 <= monitor.cpu(0) < 100
            assert monitor.forget(0) == ""
            assert monitor.memory(0) == 0
            monitor.close()

    asyncio.run(main())


def test_processor_time_is_sampled_at_each_of_the_looks_a_second_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    samples: list[float] = []
    samples_at_looks: list[int] = []

    def cpu_seconds(gauge: object) -> float:
        samples.append(now)
        return 0.0

    def a_little_early(interval: float) -> float:
        nonlocal now
        now += 0.9 * interval
        samples_at_looks.append(len(samples))
        return 0.0

    async def main() -> None:
        with Hoarder(MIB) as process:
            monitor = MemoryMonitor()
            monitor.watch(0, process, lambda: None)
            await soon(lambda: len(samples_at_looks) >= 4)
            monitor.close()

    monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(memory, "until_beat", a_little_early)
    monkeypatch.setattr(memory._Gauge, "cpu_seconds", cpu_seconds)
    asyncio.run(main())
    assert samples_at_looks[:4] == [1, 2, 3, 4]  # the first is what the next is compared with


def test_close_to_its_limit_a_worker_is_asked_to_end_and_then_killed() -> None:
    async def main() -> None:
        with Hoarder(200 * MIB, listens=False) as process:
            limit = int(used(process.pid) / 0.97)
            monitor = MemoryMonitor()
            monitor.watch(0, process, lambda: limit)
            await soon(lambda: process.told == ["terminate", "kill"])
            assert "was killed at 20" in monitor.forget(0)
            monitor.close()

    asyncio.run(main())


def test_beyond_its_limit_a_worker_is_killed_at_once() -> None:
    async def main() -> None:
        with Hoarder(200 * MIB) as process:
            monitor = MemoryMonitor()
            monitor.watch(0, process, lambda: 100 * MIB)
            await soon(lambda: process.told)
            assert process.told == ["kill"]
            monitor.close()

    asyncio.run(main())


def test_a_limit_may_change_while_a_worker_runs() -> None:
    async def main() -> None:
        with Hoarder(200 * MIB) as process:
            limit: int | None = None
            monitor = MemoryMonitor()
            monitor.watch(0, process, lambda: limit)
            await soon(lambda: monitor.memory(0))
            assert process.told == []
            limit = 100 * MIB
            await soon(lambda: process.told)
            monitor.close()

    asyncio.run(main())


def test_shared_memory_is_counted_in_parts() -> None:
    """A segment that two processes have mapped is half of each; resident memory counts it twice."""
    fd = os.memfd_create("test")
    os.ftruncate(fd, 200 * MIB)
    segment = mmap.mmap(fd, 200 * MIB)
    for page in range(0, len(segment), mmap.PAGESIZE):
        segment[page] = 1
    before = used(os.getpid())
    script = (
        f"import mmap, sys; m = mmap.mmap({fd}, {200 * MIB}); n = sum(m[::4096]); print(n, flush=True);sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[fd]
    )
    try:
        assert other.stdout is not None
        other.stdout.readline()
        assert resident(other.pid) > 200 * MIB
        assert 90 * MIB < used(other.pid) < 150 * MIB
        assert before - used(os.getpid()) > 80 * MIB
    finally:
        other.kill()
        other.communicate()
        segment.close()
        os.close(fd)


def test_nobody_is_ended_if_that_was_turned_off() -> None:
    async def main() -> None:
        with Hoarder(100 * MIB) as process:
            monitor = MemoryMonitor(terminate=None)
            monitor.watch(0, process, lambda: 50 * MIB)
            await soon(lambda: monitor.memory(0) > 90 * MIB)
            assert process.told == []
            assert monitor.forget(0) == ""
            monitor.close()

    asyncio.run(main())


def test_a_process_that_is_gone_is_not_watched() -> None:
    async def main() -> None:
        with Hoarder(MIB) as process:
            process.kill()
            monitor = MemoryMonitor()
            monitor.watch(0, process, lambda: 1)
            assert monitor.memory(0) == 0
            monitor.close()

    asyncio.run(main())


def test_the_loop_goes_on_while_all_processes_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of their files lets other threads in: beside a busy one a look takes seconds."""
    begun, go_on = threading.Event(), threading.Event()
    look = descendants.look

    def slow() -> descendants.Table:
        begun.set()
        assert go_on.wait(20)
        return look()

    monkeypatch.setattr(descendants, "look", slow)

    async def main() -> None:
        with Hoarder(MIB) as process:
            monitor = MemoryMonitor()
            monitor.watch(0, process, lambda: None)
            await soon(lambda: begun.is_set() and monitor.memory(0))
            assert monitor._last_tree == 0
            go_on.set()
            await soon(lambda: monitor._last_tree)
            monitor.close()

    asyncio.run(main())


def test_a_look_that_fails_is_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> descendants.Table:
        raise PermissionError("/proc is hidden")

    monkeypatch.setattr(descendants, "look", fail)

    async def main() -> None:
        with Hoarder(MIB) as process:
            monitor = MemoryMonitor()
            monitor.watch(0, process, lambda: None)
            await soon(lambda: "/proc is hidden" in caplog.text)
            assert monitor._next_tree > 0
            monitor.close()

    asyncio.run(main())
