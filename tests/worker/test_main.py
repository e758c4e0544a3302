from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nbcluster.protocol.messages import RegisterWorker, Stopping, TaskOutput
from nbcluster.protocol.serialize import load
from nbcluster.store.flight_recorder import WORKER_FD, FlightRecorder
from nbcluster.worker.config import WorkerConfig
from tests.support.eventually import soon
from tests.support.fake_scheduler import FakeScheduler, fake_scheduler
from tests.support.links import DEADLINE, TOKEN, run

PROGRAM = """
import os, sys, msgspec
from nbcluster.worker import main
os.dup2(int(sys.argv[1]), {fd})
config = msgspec.json.decode(sys.argv[2], type=main.WorkerConfig)
sys.exit(main.run(config, sys.stdin.buffer.read()))
"""


def start(scheduler: str, directory: Path, recorder: FlightRecorder) -> subprocess.Popen[bytes]:
    config = WorkerConfig(scheduler=scheduler, name="w0", listen=f"unix://{directory}/w0.sock", connect_timeout=1.0)
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PROGRAM.format(fd=WORKER_FD),
            str(recorder.fd),
            msgspec.json.encode(config).decode(),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[recorder.fd],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert process.stdin is not None
    process.stdin.write(TOKEN)
    process.stdin.close()
    return process


async def end(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """Wait for a process; return its exit code and what it wrote."""
    try:
        code = await asyncio.to_thread(process.wait, DEADLINE)
    finally:
        process.kill()
    assert process.stdout is not None
    assert process.stderr is not None
    if process.stdout.closed:
        return code, "", ""
    with process.stdout as out, process.stderr as err:
        return code, out.read().decode(), err.read().decode()


@asynccontextmanager
async def worker_process(
    directory: Path,
) -> AsyncIterator[tuple[FakeScheduler, subprocess.Popen[bytes], FlightRecorder]]:
    recorder = FlightRecorder.create()
    try:
        async with fake_scheduler(f"unix://{directory}/s.sock") as scheduler:
            process = start(scheduler.address, directory, recorder)
            try:
                await scheduler.hear(RegisterWorker)
                yield scheduler, process, recorder
            finally:
                process.kill()
                await end(process)
    finally:
        recorder.close()


def speak() -> int:
    print("hello")
    return os.getpid()


def exit_hard() -> None:
    os._exit(9)


def test_a_process_becomes_a_worker_runs_tasks_and_ends_when_it_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_process(tmp_path) as (scheduler, process, recorder):
            done = await scheduler.result(scheduler.submit(speak))
            assert done.payload is not None
            assert load(done.payload) == process.pid
            assert [output.text for output in scheduler.all(TaskOutput)] == ["hello\n"]
            assert recorder.running() == []
            scheduler.send(Stopping("enough"))
            assert (await end(process))[:2] == (0, "hello\n")
            assert await scheduler.heard.end() is None

    run("uvloop", main())


def test_a_ctrl_c_does_not_hit_a_worker_and_a_sigterm_ends_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_process(tmp_path) as (scheduler, process, _):
            process.send_signal(signal.SIGINT)
            await scheduler.result(scheduler.submit(speak))
            process.send_signal(signal.SIGTERM)
            assert (await end(process))[0] == 0

    run("uvloop", main())


def test_the_end_of_the_scheduler_ends_a_worker_even_if_a_task_hangs(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_process(tmp_path) as (scheduler, process, recorder):
            run_id = scheduler.submit(hang)
            await soon(lambda: recorder.running() == [run_id])
            scheduler.link.abort()
            assert (await end(process))[0] == 0

    run("uvloop", main())


def hang() -> None:
    threading.Event().wait()


def test_a_worker_that_dies_leaves_word_of_what_it_was_running(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_process(tmp_path) as (scheduler, process, recorder):
            await scheduler.result(scheduler.submit(speak))
            run_id = scheduler.submit(exit_hard)
            assert (await end(process))[0] == 9
            assert recorder.running() == [run_id]

    run("uvloop", main())


def test_a_worker_whose_scheduler_does_not_answer_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        recorder = FlightRecorder.create()
        try:
            code, _, err = await end(start(f"unix://{tmp_path}/nobody.sock", tmp_path, recorder))
        finally:
            recorder.close()
        assert code == 1
        assert "Worker w0 cannot join its cluster" in err
        assert "nobody.sock" in err

    run("uvloop", main())


def test_the_token_is_in_no_configuration() -> None:
    fields: Any = WorkerConfig.__struct_fields__
    assert "token" not in fields


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_programs_that_tasks_start_can_be_interrupted(tmp_path: Path) -> None:
    async def main() -> None:
        async with worker_process(tmp_path) as (scheduler, _, _):
            done = await scheduler.result(scheduler.submit(interrupt_handler_of_a_child))
            assert done.payload is not None
            assert "default_int_handler" in load(done.payload)

    run("uvloop", main())


def interrupt_handler_of_a_child() -> str:
    program = "import signal; print(signal.getsignal(signal.SIGINT))"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
