from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nbcluster.supervisor.forking import Zygote
from nbcluster.supervisor.logs import LogBook
from nbcluster.supervisor.policy import RestartPolicy, RestartSettings
from nbcluster.supervisor.process import Starter
from nbcluster.supervisor.supervisor import Supervisor, WorkerSpec
from nbcluster.types import Status, WorkerName
from tests.supervisor.starters import FAKE_WORKER, TOKEN, is_running, run, surroundings
from tests.support.eventually import soon
from tests.support.fake_worker import configure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="zygotes are for Linux")

WAIT = "print('up'); time.sleep(600)"


class Port:
    """Records what the supervisor tells; workers run ``script``."""

    def __init__(self, script: str = WAIT, limit: int | None = None) -> None:
        self.script = script
        self.limit = limit
        self.exits: list[tuple[WorkerName, int, str, frozenset[int], str]] = []

    def worker_spec(self, name: WorkerName) -> WorkerSpec:
        return WorkerSpec(configure(self.script), TOKEN)

    def worker_limit(self, name: WorkerName) -> int | None:
        return self.limit

    def worker_exited(self, name: WorkerName, pid: int, cause: str, running: frozenset[int], log: str) -> None:
        self.exits.append((name, pid, cause, running, log))


@asynccontextmanager
async def supervising(port: Port, settings: RestartSettings | None = None) -> AsyncIterator[tuple[Supervisor, LogBook]]:
    def make_starter() -> Starter:
        return Zygote(surroundings(), FAKE_WORKER)

    book = LogBook()
    supervisor = Supervisor(make_starter, port, book, RestartPolicy(settings))
    await supervisor.open()
    try:
        yield supervisor, book
    finally:
        await supervisor.close()
        book.close()


async def pid_of(supervisor: Supervisor, name: WorkerName, other_than: int = 0) -> int:
    pid = await soon(lambda: (pid := supervisor.slots[name].pid) != other_than and pid)
    assert pid
    return pid


def test_workers_start_and_stop() -> None:
    async def main() -> None:
        port = Port()
        async with supervising(port) as (supervisor, _):
            supervisor.start([0, "extra"])
            pids = [await pid_of(supervisor, name) for name in (0, "extra")]
            statuses = [supervisor.slots[0].status]
            supervisor.joined(0)
            statuses.append(supervisor.slots[0].status)
            assert statuses == [Status.STARTING, Status.RUNNING]
            await supervisor.stop(0)
            await supervisor.stop(0)
            assert list(supervisor.slots) == ["extra"]
            assert not is_running(pids[0])
            assert is_running(pids[1])
            assert port.exits[0][:2] == (0, pids[0])
            assert port.exits[0][2].startswith("was killed by SIGTERM")
        assert not is_running(pids[1])

    run(main)


def test_a_worker_that_dies_is_restarted_and_what_it_was_doing_is_told() -> None:
    async def main() -> None:
        port = Port("recorder.enter(0, 11); recorder.enter(1, 12); print('last words'); time.sleep(600)")
        async with supervising(port) as (supervisor, book):
            supervisor.start([0])
            first = await pid_of(supervisor, 0)
            supervisor.joined(0)
            await soon(lambda: book.tail(0))
            os.kill(first, signal.SIGKILL)
            second = await pid_of(supervisor, 0, other_than=first)
            (name, pid, cause, running, log) = port.exits[0]
            assert (name, pid, running, log) == (0, first, frozenset({11, 12}), "last words")
            assert cause.startswith("was killed by SIGKILL; its memory peaked at")
            slot = supervisor.slots[0]
            assert (slot.restarts, slot.last_exit, slot.pid) == (1, cause, second)
            await soon(lambda: [line.text for line in book.lines(worker=0)] == ["last words"] * 2)
            assert book.tail(0) == "last words", "its own, not those of its predecessor"

    run(main)


def test_a_crash_loop_shows_and_ends_when_its_cause_is_gone() -> None:
    async def main() -> None:
        port = Port("sys.exit(3)")
        settings = RestartSettings(intensity=2, first_delay=0.05, longest_delay=0.1)
        async with supervising(port, settings) as (supervisor, _):
            supervisor.start([0])
            await soon(lambda: supervisor.slots[0].status is Status.BROKEN)
            assert supervisor.slots[0].last_exit.startswith("exited with code 3")
            await soon(lambda: supervisor.slots[0].pid is None, "there is no process in between: 0 would be a group")
            await soon(lambda: len(port.exits) > 5)
            port.script = WAIT
            await soon(lambda: supervisor.slots[0].pid and supervisor.slots[0].memory)
            supervisor.joined(0)
            assert supervisor.slots[0].status is Status.RUNNING

    run(main)


def test_a_worker_that_does_not_end_when_asked_is_killed() -> None:
    async def main() -> None:
        port = Port("import signal; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(600)")
        async with supervising(port) as (supervisor, book):
            supervisor.start([0])
            pid = await pid_of(supervisor, 0)
            await soon(lambda: book.tail(0))
            await supervisor.stop(0, grace=0.05)
            assert not is_running(pid)
            assert port.exits[0][2].startswith("was killed by SIGKILL")

    run(main)


def test_restarting_replaces_every_worker_and_counts_against_none() -> None:
    async def main() -> None:
        port = Port()
        async with supervising(port, RestartSettings(intensity=0)) as (supervisor, _):
            supervisor.start([0, 1])
            pids = {name: await pid_of(supervisor, name) for name in (0, 1)}
            await supervisor.restart()
            for name, pid in pids.items():
                assert not is_running(pid)
                await pid_of(supervisor, name, other_than=pid)
                assert supervisor.slots[name].status is Status.STARTING

    run(main)


def test_a_worker_that_breaks_its_memory_limit_is_ended_alone_and_told_why() -> None:
    async def main() -> None:
        hoard = "x = bytearray(300 << 20); print('full'); time.sleep(600)"
        port = Port()
        async with supervising(port) as (supervisor, book):
            supervisor.start(["modest"])
            modest = await pid_of(supervisor, "modest")
            await soon(lambda: book.tail("modest"))
            port.script, port.limit = hoard, 200 << 20
            supervisor.start(["greedy"])
            await soon(lambda: port.exits)
            (name, _, cause, _, _) = port.exits[0]
            assert name == "greedy"
            assert re.fullmatch(r"was killed at [\d.]+ MiB of its limit of 200\.00 MiB", cause)
            assert is_running(modest)

    run(main)


def test_memory_of_what_a_task_starts_is_counted_to_its_worker() -> None:
    async def main() -> None:
        child = "import time; x = bytearray(300 << 20); print(len(x), flush=True); time.sleep(600)"
        port = Port(
            f"import subprocess; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(600)",
            limit=200 << 20,
        )
        async with supervising(port) as (supervisor, _):
            supervisor.start([0])
            await soon(lambda: port.exits)
            assert "of its limit of 200.00 MiB" in port.exits[0][2]

    run(main)


def test_a_lost_zygote_is_replaced_and_its_workers_with_it() -> None:
    async def main() -> None:
        port = Port()
        async with supervising(port) as (supervisor, _):
            supervisor.start([0, 1])
            pids = {name: await pid_of(supervisor, name) for name in (0, 1)}
            starter = supervisor._starter
            assert isinstance(starter, Zygote)
            os.kill(starter.pid, signal.SIGKILL)
            for name, pid in pids.items():
                await pid_of(supervisor, name, other_than=pid)
                assert not is_running(pid)
            assert len(port.exits) == 2

    run(main)


def test_closing_is_idempotent_and_leaves_nothing() -> None:
    async def main() -> None:
        port = Port()
        async with supervising(port) as (supervisor, _):
            supervisor.start(range(3))
            pids = [await pid_of(supervisor, name) for name in range(3)]
            await supervisor.close()
            assert not any(is_running(pid) for pid in pids)
            supervisor.start([7])
            assert supervisor.slots == {}

    run(main)


def test_closing_while_workers_start_leaves_nothing() -> None:
    async def main() -> None:
        port = Port()
        async with supervising(port) as (supervisor, _):
            supervisor.start(range(5))

    run(main)
