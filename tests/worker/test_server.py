from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nbcluster.cluster.shared_memory import share_memory
from nbcluster.comm.peers import PeerPool
from nbcluster.errors import CommError
from nbcluster.protocol.exceptions import load_exception
from nbcluster.protocol.messages import (
    AcquireReplicas,
    DataAdded,
    DataItem,
    DataShared,
    Dependency,
    ForgetFunctions,
    FreeKeys,
    Location,
    MissingData,
    PutData,
    RecallTasks,
    RegisterWorker,
    Stopping,
    StoredData,
    TaskErred,
    TaskOutput,
    TaskReturned,
    TasksDone,
    TasksRecalled,
    WorkerMetrics,
)
from nbcluster.protocol.serialize import SHARE_MIN, TaskRef, dump, dump_function, load
from nbcluster.worker.config import WorkerConfig
from nbcluster.worker.server import WorkerServer
from nbcluster.worker.transfer import DataServer
from tests.support.eventually import soon
from tests.support.fake_scheduler import FakeScheduler, fake_scheduler, worker_of
from tests.support.links import DEADLINE, TOKEN, run


@pytest.fixture(params=["inproc", "unix"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Test = Callable[[FakeScheduler, WorkerServer], Awaitable[None]]


@pytest.fixture
def with_worker(transport: str, tmp_path: Path) -> Callable[..., None]:
    """Runs a coroutine function with a scheduler and a worker."""

    def run_test(test: Test, **options: Any) -> None:
        async def main() -> None:
            address = "inproc://" if transport == "inproc" else f"unix://{tmp_path}/scheduler.sock"
            async with (
                fake_scheduler(address) as scheduler,
                worker_of(scheduler, tmp_path, **options) as worker,
            ):
                await test(scheduler, worker)

        run("uvloop", main())

    return run_test


def add(x: int, y: int) -> int:
    return x + y


def fail() -> None:
    raise ValueError("bad")


def test_a_worker_registers_with_what_it_is(with_worker: Any, tmp_path: Path) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        registration = scheduler.heard.messages[0]
        assert isinstance(registration, RegisterWorker)
        assert registration.name == "w0"
        assert registration.address == worker.address == f"unix://{tmp_path}/w0.sock"
        assert (registration.nthreads, registration.memory_limit) == (2, 1000)

    with_worker(test, nthreads=2, memory_limit=1000)


def test_a_task_runs_and_its_small_result_comes_with_the_report(with_worker: Any) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        done = await scheduler.result(scheduler.submit(add, 1, 2))
        assert done.payload is not None
        assert load(done.payload) == 3
        assert done.payload.is_live == scheduler.link.in_process
        assert (done.type_name, done.thread) == ("int", 0)
        assert done.start <= done.stop
        await soon(lambda: worker.store.nbytes == done.nbytes)

    with_worker(test)


def test_a_task_that_raises_is_reported_with_its_traceback(with_worker: Any) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        scheduler.submit(fail)
        erred = await scheduler.hear(TaskErred)
        error = load_exception(erred.error)
        assert repr(error) == "ValueError('bad')"
        assert erred.text == "ValueError: bad"
        assert error.__traceback__ is not None
        assert error.__traceback__.tb_frame.f_code.co_name == "fail"

    with_worker(test)


def test_dependencies_come_along_from_the_store_and_from_peers(with_worker: Any, tmp_path: Path) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        scheduler.send(PutData([DataItem("here", dump(1), 28)]))
        async with fake_scheduler() as second, worker_of(second, tmp_path, "w1") as other:
            second.send(PutData([DataItem("there", dump(10), 28)]))
            await second.hear(DataAdded)
            needed = [
                Dependency("here", None, [worker.address], 28),
                Dependency("there", None, [other.address], 28),
                Dependency("along", dump(100), [], 28),
            ]
            run_id = scheduler.submit(
                lambda values: sum(values),
                [TaskRef("here"), TaskRef("there"), TaskRef("along")],
                dependencies=needed,
            )
            done = await scheduler.result(run_id)
            assert done.payload is not None
            assert load(done.payload) == 111
            added = await soon(lambda: scheduler.all(DataAdded)[1:])
            assert added[0].items == [StoredData("there", 28)]

    with_worker(test)


def test_a_task_whose_input_cannot_be_fetched_is_given_back(with_worker: Any, tmp_path: Path) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        async with fake_scheduler() as second, worker_of(second, tmp_path, "w1") as other:
            needed = [Dependency("x", None, [other.address], 28)]
            run_id = scheduler.submit(abs, TaskRef("x"), key="y", dependencies=needed)
            returned = await scheduler.hear(TaskReturned)
            assert returned == TaskReturned("y", run_id, [MissingData("x", other.address)])

    with_worker(test)


def test_a_peer_that_is_gone_counts_as_one_that_has_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_scheduler() as scheduler, worker_of(scheduler, tmp_path) as worker:
            worker.peers._connect_timeout = 0.01
            gone = f"unix://{tmp_path}/gone.sock"
            scheduler.submit(abs, TaskRef("x"), key="y", dependencies=[Dependency("x", None, [gone], 1)])
            assert (await scheduler.hear(TaskReturned)).missing == [MissingData("x", gone)]
            scheduler.submit(abs, TaskRef("x"), key="z", dependencies=[Dependency("x", None, ["junk"], 1)])
            assert (await scheduler.hear(TaskReturned, 2)).missing == [MissingData("x", "junk")]

    run("uvloop", main())


def test_freed_data_and_freed_functions_are_gone(with_worker: Any) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        run_id = scheduler.submit(add, 1, 2)
        done = await scheduler.result(run_id)
        scheduler.send(FreeKeys([done.key]), ForgetFunctions([dump_function(add)[0]]))
        await soon(lambda: len(worker._functions) == 0)
        assert (len(worker.store), worker.store.nbytes) == (0, 0)

    with_worker(test)


def test_what_has_not_started_is_recalled(with_worker: Any) -> None:
    gate, started = threading.Event(), threading.Event()

    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        def wait() -> None:
            sys.modules[__name__].started.set()
            sys.modules[__name__].gate.wait(60)

        running = scheduler.submit(wait)
        await asyncio.to_thread(started.wait, DEADLINE)
        queued = scheduler.submit(add, 1, 2)
        scheduler.send(RecallTasks([running, queued, 77], 5))
        assert await scheduler.hear(TasksRecalled) == TasksRecalled([queued], 5)
        gate.set()
        await scheduler.result(running)
        assert queued not in scheduler.done

    module = sys.modules[__name__]
    module.gate, module.started = gate, started  # type: ignore[attr-defined]
    with_worker(test)


def test_copies_are_fetched_and_announced(with_worker: Any, tmp_path: Path) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        async with fake_scheduler() as second, worker_of(second, tmp_path, "w1") as other:
            second.send(PutData([DataItem("x", dump("data"), 53)]))
            await second.hear(DataAdded)
            scheduler.send(AcquireReplicas([Location("x", None, [other.address], 53)]))
            assert (await scheduler.hear(DataAdded)).items == [StoredData("x", 53)]
            datum = worker.store.get("x")
            assert datum is not None
            assert datum.load() == "data"

    with_worker(test)


def test_a_client_fetches_results_from_a_worker(with_worker: Any) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        await scheduler.result(scheduler.submit(bytes, 100_000, key="big"))
        pool = PeerPool(TOKEN)
        items, missing = await pool.fetch(worker.address, ["big", "unknown"])
        assert [(item.key, len(load(item.payload)), item.type_name) for item in items] == [("big", 100_000, "bytes")]
        assert missing == ["unknown"]
        await pool.close()

    with_worker(test)


def test_results_move_into_shared_memory_once_nothing_is_sent_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bool] = []

    def is_sending(server: DataServer) -> bool:
        looks.append(len(looks) < 2)
        return looks[-1]

    async def test() -> None:
        shared = share_memory(tmp_path / "shared.sock", TOKEN)
        assert shared is not None
        async with (
            fake_scheduler(f"unix://{tmp_path}/scheduler.sock") as scheduler,
            worker_of(scheduler, tmp_path, shared=f"{tmp_path}/shared.sock"),
        ):
            with shared.close:
                scheduler.link.share(shared.store)
                scheduler.submit(bytearray, 2 * SHARE_MIN, key="large")
                moved = await scheduler.hear(DataShared)
                assert [item.key for item in moved.items] == ["large"]
                assert looks == [True, True, False]

    monkeypatch.setattr(DataServer, "is_sending", is_sending)
    run("uvloop", test())


def test_what_a_task_prints_arrives_before_its_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def speak() -> None:
        print("one", 2)
        print("problem", file=sys.stderr)
        print("no newline", end="")

    async def main() -> None:
        async with (
            fake_scheduler(f"unix://{tmp_path}/s.sock") as scheduler,
            worker_of(scheduler, tmp_path, capture_output=True),
        ):
            await scheduler.result(scheduler.submit(speak, key="speak"))
            outputs = scheduler.all(TaskOutput)
            texts = {
                stream: "".join(output.text for output in outputs if output.stream == stream)
                for stream in ("stdout", "stderr")
            }
            assert texts == {"stdout": "one 2\nno newline", "stderr": "problem\n"}
            assert {output.key for output in outputs} == {"speak"}
            kinds = [type(message) for message in scheduler.heard.messages]
            assert max(i for i, kind in enumerate(kinds) if kind is TaskOutput) < kinds.index(TasksDone)

    real = sys.stdout
    run("uvloop", main())
    assert sys.stdout is real
    assert capsys.readouterr() == ("one 2\nno newline", "problem\n")


def test_metrics_are_told_when_they_change(with_worker: Any) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        scheduler.send(PutData([DataItem("x", dump(b"x" * 1000), 1000)]))
        await soon(lambda: any(metrics.stored == 1000 for metrics in scheduler.all(WorkerMetrics)))
        last = scheduler.all(WorkerMetrics)[-1]
        assert (last.memory == 0) == scheduler.link.in_process

    with_worker(test, metrics_interval=0.01)


@pytest.mark.parametrize("how", ["stopped", "lost", "closed"])
def test_a_worker_ends_with_its_scheduler(with_worker: Any, how: str) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        if how == "stopped":
            scheduler.send(Stopping("the cluster is closed"))
        elif how == "lost":
            scheduler.link.abort()
        else:
            await worker.close()
        reason = await worker.finished()
        assert {"stopped": "the cluster is closed", "lost": "the scheduler is gone", "closed": "closed"}[how] in reason

    with_worker(test)


def test_a_scheduler_that_does_not_answer_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        address = f"unix://{tmp_path}/nobody.sock"
        config = WorkerConfig(scheduler=address, name=0, listen=f"unix://{tmp_path}/w.sock", connect_timeout=0.01)
        with pytest.raises(CommError, match=r"nobody\.sock"):
            await WorkerServer(config, TOKEN).start()

    run("uvloop", main())


def test_a_worker_that_fails_internally_ends_so_that_others_run_its_tasks(
    with_worker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        worker._perform = {}
        scheduler.submit(add, 1, 2)
        assert await worker.finished() == "internal error"
        await scheduler.heard.end()

    with_worker(test)
    assert "it failed over" in caplog.text


def test_a_result_that_its_thread_has_told_is_there_for_whoever_asks_next(tmp_path: Path) -> None:
    """The scheduler may refer others to it, or have it freed, before the worker's loop has looked at it."""

    async def main() -> None:
        address = f"unix://{tmp_path}/scheduler.sock"
        async with fake_scheduler(address) as scheduler, worker_of(scheduler, tmp_path) as worker:
            for number in range(50):
                done = await scheduler.result(scheduler.submit(add, number, 1))
                worker.received([FreeKeys([done.key])])
                assert (len(worker.store), len(worker.core.state.runs)) == (0, 0)
            assert len(scheduler.all(TasksDone)) == 50

    run("uvloop", main())
