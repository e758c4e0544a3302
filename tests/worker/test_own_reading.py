"""A worker's only thread that reads its tasks itself: what it runs, what the loop hears, and who reads when."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from nbcluster.comm.base import Connection
from nbcluster.comm.peers import PeerPool
from nbcluster.protocol.inspection import Look, LookAtState, Seen
from nbcluster.protocol.messages import (
    Compute,
    ComputeTask,
    Dependency,
    FreeKeys,
    RecallTasks,
    TaskErred,
    TasksRecalled,
)
from nbcluster.protocol.serialize import load
from nbcluster.types import RunId
from nbcluster.worker import own_reading
from nbcluster.worker.executor import MOST_UNHEARD
from nbcluster.worker.server import WorkerServer
from tests.support.eventually import soon
from tests.support.fake_scheduler import FakeScheduler, fake_scheduler, worker_of
from tests.support.links import DEADLINE, TOKEN, run

Test = Callable[[FakeScheduler, WorkerServer], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def with_worker(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a test with a worker to which tasks always seem to come quickly, on however slow a machine."""
    monkeypatch.setattr(own_reading, "SHORTLY", DEADLINE)
    monkeypatch.setattr(own_reading, "PATIENCE", 0.05)
    monkeypatch.setattr(own_reading, "TICK", DEADLINE)

    def run_test(test: Test, **options: Any) -> None:
        async def main() -> None:
            async with (
                fake_scheduler(f"unix://{tmp_path}/scheduler.sock") as scheduler,
                worker_of(scheduler, tmp_path, **options) as worker,
            ):
                await scheduler.result(scheduler.submit(double, 0))
                await test(scheduler, worker)

        run(request.param, main())

    return run_test


class Gate:
    """Holds a task up."""

    begun = threading.Event()
    open = threading.Event()


@pytest.fixture(autouse=True)
def closed_gate() -> None:
    Gate.begun.clear()
    Gate.open.clear()


def double(number: int) -> int:
    return 2 * number


def wait_at_gate() -> str:
    Gate.begun.set()
    return "open" if Gate.open.wait(DEADLINE) else "closed"


async def trip(scheduler: FakeScheduler, number: int) -> RunId:
    run_id = scheduler.submit(double, number, define=False)
    done = await scheduler.result(run_id)
    assert done.payload is not None
    assert load(done.payload) == 2 * number
    return run_id


async def lend(scheduler: FakeScheduler, worker: WorkerServer) -> None:
    """Have the thread read."""
    while not lent(worker):
        await trip(scheduler, 1)


def lent(worker: WorkerServer) -> bool:
    assert worker._own_reading is not None
    return worker._own_reading._loan.lending is not None


def counted(worker: WorkerServer, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What grows whenever the loop has to read."""
    received, calls = worker.received, list[Any]()

    def call(messages: list[Any]) -> None:
        calls.append(messages)
        received(messages)

    monkeypatch.setattr(worker, "received", call)
    return calls


def test_tasks_one_after_the_other_do_not_wake_the_loop(
    with_worker: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        monkeypatch.setattr(own_reading, "PATIENCE", 1.0)
        read_by_loop = counted(worker, monkeypatch)
        by_loop: list[bool] = []  # though the thread read when the task was sent
        while len(by_loop) < 2 * MOST_UNHEARD:
            before, was_lent = len(read_by_loop), lent(worker)
            await trip(scheduler, len(by_loop))
            if was_lent:
                by_loop.append(len(read_by_loop) > before)
        assert sum(by_loop) < MOST_UNHEARD / 8, "once, or a few times if the thread was just giving up"

    with_worker(test)


def test_what_a_thread_has_computed_is_there_for_a_peer_that_asks_at_once(with_worker: Callable[..., None]) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        await lend(scheduler, worker)
        run_id = await trip(scheduler, 21)
        pool = PeerPool(TOKEN)
        items, missing = await pool.fetch(worker.address, [f"task-{run_id}"])
        assert ([load(item.payload) for item in items], missing) == ([42], [])
        await pool.close()

    with_worker(test)


def test_keys_that_a_thread_has_read_are_freed(with_worker: Callable[..., None]) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        await lend(scheduler, worker)
        run_id = await trip(scheduler, 1)
        scheduler.send(FreeKeys([f"task-{run_id}"]))
        last = await trip(scheduler, 2)
        worker.executor.collect()
        assert f"task-{run_id}" not in worker.core.state.held
        assert f"task-{last}" in worker.core.state.held
        assert not worker.core.state.runs

    with_worker(test)


@pytest.mark.parametrize("what", ["two tasks", "a dependency", "a new function", "a large argument", "a question"])
def test_whatever_else_comes_is_the_loops(with_worker: Callable[..., None], what: str) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        await lend(scheduler, worker)
        first = await trip(scheduler, 1)
        if what == "two tasks":
            runs = [scheduler.submit(double, number, define=False) for number in (2, 3)]
            assert [load((await scheduler.result(one)).payload) for one in runs] == [4, 6]  # type: ignore[arg-type]
        elif what == "a dependency":
            await scheduler.result(
                scheduler.submit(double, 2, dependencies=[Dependency(f"task-{first}", None, [], 1)], define=False)
            )
        elif what == "a new function":
            done = await scheduler.result(scheduler.submit(abs, -3))
            assert load(done.payload) == 3  # type: ignore[arg-type]
        elif what == "a large argument":
            done = await scheduler.result(scheduler.submit(double, bytearray(2_000_000), define=False))
            assert done.nbytes > 4_000_000
        else:
            scheduler.send(Look(1, LookAtState()))
            assert (await scheduler.hear(Seen)).request == 1
        await lend(scheduler, worker)

    with_worker(test)


def test_a_task_that_errs_is_told_by_the_loop(with_worker: Callable[..., None]) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        await lend(scheduler, worker)
        run_id = scheduler.submit(double, None, define=False)
        assert (await scheduler.hear(TaskErred)).run_id == run_id
        await trip(scheduler, 3)
        worker.executor.collect()
        assert not worker.core.state.runs

    with_worker(test)


def test_while_a_task_takes_long_the_loop_reads(
    with_worker: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        gate = scheduler.submit(wait_at_gate)  # so that its function is known
        Gate.open.set()
        await scheduler.result(gate)
        Gate.open.clear()
        Gate.begun.clear()
        monkeypatch.setattr(own_reading, "TICK", 0.005)
        await lend(scheduler, worker)
        run_id = scheduler.submit(wait_at_gate, define=False)
        await asyncio.to_thread(Gate.begun.wait, DEADLINE)
        scheduler.send(RecallTasks([run_id], 5))
        assert await scheduler.hear(TasksRecalled) == TasksRecalled([], 5)
        assert list(worker.core.state.runs) == [run_id]
        Gate.open.set()
        await scheduler.result(run_id)

    with_worker(test)


def test_a_thread_for_which_nothing_comes_gives_the_link_back(
    with_worker: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        monkeypatch.setattr(own_reading, "PATIENCE", 0.02)
        await lend(scheduler, worker)
        await soon(lambda: not lent(worker), "the loop reads")
        await trip(scheduler, 4)

    with_worker(test)


def test_a_worker_with_more_threads_has_its_loop_read(with_worker: Callable[..., None]) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        for number in range(10):
            await trip(scheduler, number)
        assert worker._own_reading is None

    with_worker(test, nthreads=2)


def test_a_worker_leaves_while_its_thread_reads(with_worker: Callable[..., None]) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        await lend(scheduler, worker)

    with_worker(test)


def test_what_a_task_sees_of_its_worker_is_as_of_now(with_worker: Callable[..., None]) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        Watched.workers.append(worker)
        await scheduler.result(scheduler.submit(sees, "task-0"))
        await lend(scheduler, worker)
        for _ in range(10):
            before = await trip(scheduler, 1)
            run_id = scheduler.submit(sees, f"task-{before}", define=False)
            done = await scheduler.result(run_id)
            assert load(done.payload) == ([f"task-{run_id}"], True, True)  # type: ignore[arg-type]
        assert lent(worker)
        Watched.workers.clear()

    with_worker(test)


class Watched:
    workers: ClassVar[list[WorkerServer]] = []


def sees(before: str) -> tuple[list[str], bool, bool]:
    worker = Watched.workers[-1].current
    keys = worker.active_keys
    return sorted(keys), before in worker.data, keys <= set(worker.state.tasks)


def test_nothing_is_begun_after_the_executor_is_closed(with_worker: Callable[..., None]) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        await scheduler.result(scheduler.submit(open_gate))
        Gate.open.clear()
        await lend(scheduler, worker)
        worker.executor.close()
        scheduler.submit(open_gate, define=False)
        await asyncio.to_thread(worker.executor.join_idle)
        assert not any(thread.is_alive() for thread in worker.executor._threads)
        assert not Gate.open.is_set()

    with_worker(test)


def open_gate() -> None:
    Gate.open.set()


def test_a_thread_that_has_gone_to_sleep_is_lent_nothing(with_worker: Callable[..., None]) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        assert worker._own_reading is not None
        await soon(lambda: worker.executor.is_parked)
        worker._own_reading.lend(lambda: worker.executor.is_parked)
        assert not lent(worker)
        await trip(scheduler, 1)

    with_worker(test)


def test_a_message_without_tasks_is_the_loops(with_worker: Callable[..., None]) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        await lend(scheduler, worker)
        scheduler.send(Compute([]))
        await trip(scheduler, 1)

    with_worker(test)


def test_a_thread_that_cannot_read_leaves_it_to_the_loop(
    with_worker: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said = "could not read its next task"

    def fail(*_: object) -> bool:
        raise MemoryError

    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        monkeypatch.setattr(own_reading.OwnReading, "_take", fail)
        for number in range(1000):  # as many as it takes until the thread is lent the link: a busy machine takes more
            await trip(scheduler, number)
            if said in caplog.text:
                break
        await trip(scheduler, 1000)

    with_worker(test)
    assert said in caplog.text


def test_what_comes_while_something_waits_here_is_read_by_the_loop() -> None:
    async def main() -> None:
        reading = own_reading.OwnReading(cast(Connection, None), lambda _: None, lambda: None)
        single = [Compute([ComputeTask("x", 1, b"f" * 16, b"", (0, 1))])]
        for idle, due in ((True, False), (False, False), (True, False), (True, False), (True, True), (True, False)):
            reading._last = float("inf")
            assert reading.is_due(single, idle=idle) == due

    asyncio.run(main())
