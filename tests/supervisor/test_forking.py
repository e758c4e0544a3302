from __future__ import annotations

import os
import select
import signal
import sys

import pytest

from nbcluster.errors import ClusterError
from nbcluster.supervisor.forking import Zygote
from nbcluster.supervisor.interpreter import Interpreter
from tests.supervisor.starters import is_running, output, run, spawn, started, surroundings
from tests.supervisor.test_process import LEAVE_CHILDREN
from tests.support.eventually import soon

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="zygotes are for Linux")


def test_what_cannot_be_imported_is_told() -> None:
    async def main() -> None:
        zygote = Zygote(surroundings(), "tests.support.no_such_worker")
        with pytest.raises(ClusterError, match=r"No module named 'tests\.support\.no_such_worker'"):
            await zygote.start()
        assert not is_running(zygote.pid)

    run(main)


def test_a_python_without_nbcluster_is_told() -> None:
    async def main() -> None:
        base = Interpreter(executable=sys._base_executable, cwd="/", environ={})  # type: ignore[attr-defined]
        zygote = Zygote(base)
        with pytest.raises(ClusterError, match="No module named"):
            await zygote.start()

    run(main)


def test_a_directory_that_is_not_there_is_named() -> None:
    async def main() -> None:
        here = surroundings()
        zygote = Zygote(
            Interpreter(executable=here.executable, cwd="/no/such/place", environ=here.environ),
            "tests.support.fake_worker",
        )
        with pytest.raises(ClusterError, match="/no/such/place"):
            await zygote.start()

    run(main)


def test_closing_ends_the_zygote_and_its_workers() -> None:
    async def main() -> None:
        async with started(Zygote) as zygote:
            assert isinstance(zygote, Zygote)
            workers = [await spawn(zygote, "time.sleep(600)") for _ in range(3)]
        assert not is_running(zygote.pid)
        assert all(worker.exited.done() for worker in workers)
        await zygote.close()
        with pytest.raises(ClusterError, match="not running"):
            await spawn(zygote, "pass")

    run(main)


def test_workers_and_what_they_started_end_with_a_zygote_that_is_killed() -> None:
    async def main() -> None:
        lost: list[str] = []
        async with started(Zygote) as zygote:
            assert isinstance(zygote, Zygote)
            zygote.on_lost = lost.append
            worker = await spawn(zygote, LEAVE_CHILDREN + "time.sleep(600)")
            children = eval((await output(worker, until="up")).splitlines()[0])
            os.kill(zygote.pid, signal.SIGKILL)
            assert str(await worker.exited) == "was killed by SIGKILL"
            await soon(lambda: not any(is_running(pid) for pid in [worker.pid, *children]))
            assert "SIGKILL" in lost[0]
            with pytest.raises(ClusterError):
                await spawn(zygote, "pass")

    run(main)


def test_a_zygote_that_is_asked_to_end_takes_everything_with_it() -> None:
    async def main() -> None:
        async with started(Zygote) as zygote:
            assert isinstance(zygote, Zygote)
            worker = await spawn(zygote, LEAVE_CHILDREN + "time.sleep(600)")
            children = eval((await output(worker, until="up")).splitlines()[0])
            os.kill(zygote.pid, signal.SIGTERM)
            await worker.exited
            await soon(lambda: not any(is_running(pid) for pid in [worker.pid, *children]))

    run(main)


def test_a_fork_of_the_supervisor_does_not_keep_the_zygote(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with started(Zygote) as zygote:
            assert isinstance(zygote, Zygote)
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(write)
                os.read(read, 1)
                os._exit(0)
            os.close(read)
            try:
                await zygote.close()
                assert not is_running(zygote.pid)
                assert "is killed" not in caplog.text, "it did not notice"
            finally:
                os.close(write)
                os.waitpid(child, 0)  # noqa: ASYNC222 (it ends at once)

    run(main)


def test_many_workers_start_at_once() -> None:
    async def main() -> None:
        async with started(Zygote) as zygote:
            workers = [await spawn(zygote, "print(os.getpid())", i) for i in range(20)]
            pids = [int(await output(worker)) for worker in workers]
            assert pids == [worker.pid for worker in workers]
            assert {(await worker.exited).code for worker in workers} == {0}

    run(main)


def test_a_worker_that_ends_before_its_start_was_noticed_has_ended_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with started(Zygote) as zygote:
            assert isinstance(zygote, Zygote)
            settle, channel = zygote._settle, zygote._channel
            assert channel is not None

            def settle_and_read_on(id: int, pid: int) -> None:
                settle(id, pid)
                select.select([channel], [], [])  # until there is the report of its end, too
                zygote._readable()

            monkeypatch.setattr(zygote, "_settle", settle_and_read_on)
            worker = await spawn(zygote, "sys.exit(7)")
            assert (await worker.exited).code == 7

    run(main)


def test_closing_does_not_wait_for_an_end_that_nobody_waits_for_any_more() -> None:
    async def main() -> None:
        async with started(Zygote) as zygote:
            worker = await spawn(zygote, "time.sleep(600)")
            worker.exited.cancel()

    run(main)


def test_a_large_configuration_arrives_whole() -> None:
    async def main() -> None:
        async with started(Zygote) as zygote:
            worker = await spawn(zygote, f"print(len({'x' * 3_000_000!r}))")
            assert await output(worker) == "3000000\n"

    run(main)
