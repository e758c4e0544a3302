from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbcluster.comm.peers import PeerPool
from nbcluster.protocol.messages import (
    DataItem,
    Dependency,
    FreeKeys,
    MissingData,
    PutData,
    TaskReturned,
    WorkerMetrics,
)
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.serialize import TaskRef, dump, load
from nbcluster.store.memory import SETTLED, SPILL_MIN, Datum, MemoryStore
from nbcluster.store.spill import SpillFolder
from nbcluster.worker.server import WorkerServer
from nbcluster.worker.spilling import FIRST_RETRY, LAST_RETRY, UNSEEN, Spiller
from tests.support.eventually import soon
from tests.support.fake_scheduler import FakeScheduler, fake_scheduler, worker_of
from tests.support.in_shared_memory import InSharedMemory
from tests.support.links import DEADLINE, TOKEN, run

SIZE = SPILL_MIN
TARGET = 4 * SIZE
TOTAL = TARGET + 2 * SIZE
"""What may be in memory together with what was moved to shared memory."""


def large(number: int = 0, size: int = SIZE) -> Datum:
    value = np.full(size, number, "u1")
    return Datum(value, value.nbytes)


class Bench:
    """A store with a spiller, and a clock that stands still."""

    def __init__(self, path: Path) -> None:
        self.now = 100.0
        self.store = MemoryStore(clock=lambda: self.now)
        self.folder = SpillFolder(path)
        self.taken_away: list[str] = []
        self.spiller = Spiller(
            self.store,
            self.folder,
            TARGET,
            2 * TARGET,
            total=TOTAL,
            on_taken_away=self.taken_away.append,
            clock=lambda: self.now,
        )

    def files(self) -> int:
        return len(list(self.folder.path.iterdir())) if self.folder.path.is_dir() else 0

    def put(self, *numbers: int) -> None:
        for number in numbers:
            self.store.put(f"x-{number}", large(number))

    async def at_rest(self) -> None:
        await soon(lambda: not self.spiller._spilling)

    def all_right(self, *numbers: int) -> bool:
        return all((self.store._data[f"x-{number}"].load() == number).all() for number in numbers)


def moved(number: int) -> Datum:
    """A result that this worker has put into shared memory."""
    payload = dump(np.full(SIZE, number, "u1"))
    frames = tuple(Frame(None, shared=InSharedMemory(memoryview(frame.open()))) for frame in payload.frames)
    assert frames
    datum = Datum.pickled(Payload(payload.data, frames), SIZE)
    datum.moved = True
    return datum


def bench_test(path: Path, test: Callable[[Bench], Any]) -> None:
    async def main() -> None:
        bench = Bench(path)
        try:
            await test(bench)
        finally:
            await bench.spiller.close()

    run("uvloop", main())
    assert not path.exists()


def test_no_more_than_the_target_stays_in_memory_and_the_coldest_go(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.put(*range(4))
        bench.spiller.look()
        assert not bench.spiller._spilling, "that much is allowed"
        bench.store.get("x-0")
        bench.put(4, 5)
        bench.spiller.look()
        await bench.at_rest()
        assert bench.store.nbytes == TARGET
        assert [key for key, datum in bench.store._data.items() if datum.is_spilled] == ["x-1", "x-2"]
        assert bench.files() == 2
        assert bench.all_right(*range(6))
        assert bench.store.nbytes == TARGET, "what was read is not kept"

    bench_test(tmp_path / "spill", test)


def test_results_go_when_the_process_takes_too_much_and_no_more_of_them_than_that(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.put(*range(4))
        before = bench.store.nbytes
        bench.spiller.press(1)
        await bench.at_rest()
        assert bench.files() == 1
        assert bench.store.nbytes == before * 3 // 4
        bench.spiller.press(0)
        bench.put(4)
        bench.spiller.look()
        await bench.at_rest()
        assert bench.files() == 1, "below the target all may stay again"
        assert bench.all_right(*range(5))

    bench_test(tmp_path / "spill", test)


def test_files_of_freed_results_are_removed(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.put(*range(10))
        bench.spiller.look()
        await bench.at_rest()
        assert bench.files() == 6
        for key in list(bench.store):
            bench.store.drop(key)
        bench.spiller.look()
        await soon(lambda: bench.files() == 0)

    bench_test(tmp_path / "spill", test)


def test_what_cannot_be_pickled_stays_and_the_rest_goes(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.store.put("lock", Datum(threading.Lock(), TARGET))
        bench.put(1, 2)
        bench.spiller.look()
        await bench.at_rest()
        assert bench.store.nbytes == TARGET
        assert bench.files() == 2
        bench.spiller.look()
        assert not bench.spiller._spilling, "there is nothing more to try"

    bench_test(tmp_path / "spill", test)


def test_a_disk_without_room_costs_nothing_and_is_tried_again(tmp_path: Path, caplog: Any) -> None:
    refusing = tmp_path / "disk"
    refusing.touch()  # no directory: nothing can be written below it

    async def test(bench: Bench) -> None:
        async def look_and_see(writes: bool) -> None:
            bench.spiller.look()
            assert bench.spiller._spilling == writes
            await bench.at_rest()

        bench.put(*range(6))
        await look_and_see(writes=True)
        assert bench.store.nbytes == 6 * SIZE
        assert bench.all_right(*range(6))
        await look_and_see(writes=False)
        pause = FIRST_RETRY
        while pause < LAST_RETRY:  # it waits longer each time
            bench.now += pause
            await look_and_see(writes=True)
            await look_and_see(writes=False)
            pause *= 2
        (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert str(refusing) in warning.getMessage()
        assert "Make room there" in warning.getMessage()

        refusing.unlink()
        refusing.mkdir()
        bench.now += LAST_RETRY
        await look_and_see(writes=True)
        assert bench.store.nbytes == TARGET
        assert bench.all_right(*range(6))

    bench_test(refusing / "spill", test)


class SlowWrites:
    """Each write waits until it may go on."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        write = bench.folder.write

        def slow(payload: Payload) -> Any:
            self.begun.set()
            self.go_on.wait(DEADLINE)
            return write(payload)

        monkeypatch.setattr(bench.folder, "write", slow)


def test_tasks_wait_while_there_is_far_too_much_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(bench: Bench) -> None:
        writes = SlowWrites(bench, monkeypatch)
        bench.spiller.brake(UNSEEN)
        bench.put(*range(8))
        bench.spiller.look()
        await asyncio.to_thread(writes.begun.wait, DEADLINE)
        bench.spiller.look()
        waiting = asyncio.ensure_future(asyncio.to_thread(bench.spiller.brake, UNSEEN))
        assert not bench.spiller._go.is_set()
        small = asyncio.to_thread(bench.spiller.brake, UNSEEN - 1)
        await asyncio.wait_for(small, DEADLINE)
        assert not waiting.done()
        writes.go_on.set()
        await waiting
        await bench.at_rest()
        assert bench.store.nbytes == TARGET

    bench_test(tmp_path / "spill", test)


def test_who_makes_large_results_waits_before_two_more_would_be_far_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(bench: Bench) -> None:
        writes = SlowWrites(bench, monkeypatch)
        bench.put(*range(5))
        bench.spiller.look()
        await asyncio.to_thread(writes.begun.wait, DEADLINE)
        bench.spiller.look()
        assert bench.spiller._go.is_set(), "what is there is not far too much"
        waiting = asyncio.ensure_future(asyncio.to_thread(bench.spiller.brake, UNSEEN))
        await soon(lambda: not bench.spiller._go.is_set())
        assert not waiting.done()
        writes.go_on.set()
        await waiting
        await bench.at_rest()

    bench_test(tmp_path / "spill", test)


def test_closing_does_not_wait_for_what_is_being_written(tmp_path: Path, monkeypatch: Any) -> None:
    async def test(bench: Bench) -> None:
        bench.put(*range(8))
        bench.spiller.look()
        await bench.spiller.close()
        await bench.spiller.close()
        bench.spiller.look()
        bench.spiller.brake(UNSEEN)

    bench_test(tmp_path / "spill", test)


# --- in a worker ---


def with_worker(tmp_path: Path, test: Callable[[FakeScheduler, WorkerServer], Any], **options: Any) -> None:
    async def main() -> None:
        options.setdefault("memory_limit", 11 * SIZE)  # the target is 4.4, for results are a little larger
        async with (
            fake_scheduler(f"unix://{tmp_path}/scheduler.sock") as scheduler,
            worker_of(scheduler, tmp_path, local_directory=str(tmp_path), memory_target=0.4, **options) as worker,
        ):
            await test(scheduler, worker)

    run("uvloop", main())
    assert not list(tmp_path.glob("spill-*"))


def spilled(worker: WorkerServer) -> list[str]:
    return [key for key, datum in worker.store._data.items() if datum.is_spilled]


def paths(tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.glob("spill-*/*"), key=lambda path: path.stat().st_mtime_ns)


def make(number: int) -> Any:
    return np.full(SPILL_MIN, number, "u1")


def test_a_worker_computes_more_than_it_has_memory_for(tmp_path: Path) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        for number in range(30):
            await scheduler.result(scheduler.submit(make, number, key=f"x-{number}"))
        await soon(lambda: worker.store.nbytes <= 4.4 * SIZE)
        assert len(paths(tmp_path)) == len(spilled(worker)) >= 26
        on_disk = sum(path.stat().st_size for path in paths(tmp_path))
        await soon(lambda: scheduler.all(WorkerMetrics)[-1].spilled == on_disk, "the scheduler knows")

        needed = [Dependency(f"x-{number}", None, [worker.address], SIZE) for number in range(30)]
        arguments = [TaskRef(dependency.key) for dependency in needed]
        done = await scheduler.result(scheduler.submit(sum_of_all, arguments, key="sum", dependencies=needed))
        assert done.payload is not None
        assert load(done.payload) == sum(range(30)) * SIZE

        pool = PeerPool(TOKEN)
        items, missing = await pool.fetch(worker.address, [f"x-{number}" for number in range(30)])
        assert missing == []
        assert all((load(item.payload) == number).all() for number, item in enumerate(items))
        await pool.close()
        assert worker.store.nbytes <= 4.4 * SIZE

        scheduler.send(FreeKeys([f"x-{number}" for number in range(30)]))
        await soon(lambda: not paths(tmp_path))

    with_worker(tmp_path, test, metrics_interval=0.01)


def sum_of_all(arrays: list[Any]) -> int:
    return int(sum(array.sum(dtype="i8") for array in arrays))


def test_what_is_sent_here_goes_to_disk_as_well(tmp_path: Path) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        scheduler.send(PutData([DataItem(f"d-{n}", dump(make(n)), SIZE) for n in range(10)]))
        await soon(lambda: len(spilled(worker)) >= 6)
        assert all((worker.store._data[f"d-{n}"].load() == n).all() for n in range(10))

    with_worker(tmp_path, test)


def test_a_task_whose_input_was_damaged_on_disk_is_given_back(tmp_path: Path) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        for number in range(6):
            await scheduler.result(scheduler.submit(make, number, key=f"x-{number}"))
        await soon(lambda: spilled(worker) == ["x-0", "x-1"])
        damaged = paths(tmp_path)[0]
        data = bytearray(damaged.read_bytes())
        data[1000] ^= 1
        damaged.write_bytes(data)
        needed = [Dependency(f"x-{number}", None, [worker.address], SIZE) for number in range(2)]
        arguments = [TaskRef("x-0"), TaskRef("x-1")]
        run_id = scheduler.submit(sum_of_all, arguments, key="sum", dependencies=needed)
        returned = await scheduler.hear(TaskReturned)
        assert returned == TaskReturned("sum", run_id, [MissingData("x-0", worker.address)])
        assert "x-0" not in worker.store
        assert "x-0" not in worker.core.state.held
        await soon(lambda: damaged not in paths(tmp_path))

    with_worker(tmp_path, test)


def test_who_asks_for_what_was_damaged_on_disk_is_told_that_it_is_not_there(tmp_path: Path) -> None:
    async def test(scheduler: FakeScheduler, worker: WorkerServer) -> None:
        for number in range(6):
            await scheduler.result(scheduler.submit(make, number, key=f"x-{number}"))
        await soon(lambda: spilled(worker) == ["x-0", "x-1"])
        paths(tmp_path)[1].write_bytes(b"")
        pool = PeerPool(TOKEN)
        items, missing = await pool.fetch(worker.address, ["x-0", "x-1", "x-5"])
        assert [item.key for item in items] == ["x-0", "x-5"]
        assert missing == ["x-1"]
        await pool.close()

    with_worker(tmp_path, test)


@pytest.mark.parametrize("options", [{"memory_limit": None}, {"memory_target": None}])
def test_without_a_limit_or_a_target_nothing_goes_to_disk(tmp_path: Path, options: dict[str, Any]) -> None:
    async def main() -> None:
        options.setdefault("memory_limit", 1)
        async with (
            fake_scheduler(f"unix://{tmp_path}/scheduler.sock") as scheduler,
            worker_of(scheduler, tmp_path, local_directory=str(tmp_path), **options) as worker,
        ):
            assert worker.spiller is None

    run("uvloop", main())


# --- what is in shared memory ---


def test_the_coldest_of_what_was_shared_goes_to_disk_when_all_together_is_too_much(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        for number in range(10):
            bench.store.put(f"x-{number}", moved(number))
        assert bench.store.moved_nbytes == bench.store.shared_nbytes == 10 * SIZE
        bench.now += SETTLED
        bench.store.get("x-0")
        bench.now += SETTLED
        bench.spiller.look()
        await bench.at_rest()
        assert bench.taken_away == ["x-1", "x-2", "x-3", "x-4"]
        assert bench.store.moved_nbytes == bench.store.shared_nbytes == TOTAL
        assert (bench.files(), bench.store.nbytes) == (4, 0)
        assert bench.all_right(*range(10))
        for number in range(10):
            bench.store.drop(f"x-{number}")
        assert (bench.store.moved_nbytes, bench.store.shared_nbytes, bench.store.spilled_nbytes) == (0, 0, 0)

    bench_test(tmp_path / "spill", test)


def test_what_is_not_shared_counts_first_and_goes_first(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        for number in range(2):
            bench.store.put(f"x-{number}", moved(number))
        bench.now += SETTLED
        bench.put(2, 3, 4, 5, 6)
        bench.spiller.look()
        await bench.at_rest()
        assert (bench.files(), bench.store.nbytes, bench.taken_away) == (1, TARGET, [])
        bench.store.put("x-7", moved(7))
        bench.spiller.look()
        await bench.at_rest()
        assert (bench.store.nbytes, bench.taken_away) == (TARGET, ["x-0"])
        assert bench.all_right(*range(8))

    bench_test(tmp_path / "spill", test)


def test_what_has_just_been_shared_stays_for_who_asked_for_it(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        for number in range(8):
            bench.store.put(f"x-{number}", moved(number))
        bench.spiller.look()
        await bench.at_rest()
        assert bench.taken_away == []
        bench.now += SETTLED
        bench.spiller.look()
        await bench.at_rest()
        assert bench.taken_away == ["x-0", "x-1"]

    bench_test(tmp_path / "spill", test)


def test_what_others_have_shared_is_not_ours_to_take_away(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        for number in range(10):
            datum = moved(number)
            datum.moved = False
            bench.store.put(f"x-{number}", datum)
        bench.now += SETTLED
        bench.spiller.look()
        await bench.at_rest()
        assert (bench.taken_away, bench.files(), bench.store.moved_nbytes) == ([], 0, 0)

    bench_test(tmp_path / "spill", test)


def test_what_was_shared_stays_there_when_the_disk_refuses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test(bench: Bench) -> None:
        bench.folder.path.write_text("in the way")
        for number in range(10):
            bench.store.put(f"x-{number}", moved(number))
        bench.now += SETTLED
        bench.spiller.look()
        await bench.at_rest()
        assert (bench.taken_away, bench.store.moved_nbytes) == ([], 10 * SIZE)
        assert "cannot be written" in caplog.text
        bench.folder.path.unlink()
        bench.now += FIRST_RETRY
        bench.spiller.look()
        await bench.at_rest()
        assert bench.taken_away == ["x-0", "x-1", "x-2", "x-3"]

    bench_test(tmp_path / "spill", test)
