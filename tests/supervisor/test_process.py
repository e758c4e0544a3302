"""What every starter of worker processes does: one suite for all of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nbcluster.comm.loop import new_event_loop
from nbcluster.errors import ClusterError
from nbcluster.supervisor.forking import Zygote
from nbcluster.supervisor.interpreter import Interpreter
from nbcluster.supervisor.process import ExitStatus, Starter
from tests.supervisor.starters import (
    FAKE_WORKER,
    STARTERS,
    TOKEN,
    is_running,
    output,
    run,
    spawn,
    started,
    surroundings,
)
from tests.support.eventually import eventually, soon

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only the Linux kernel offers this")

Kind = type[Starter]
every_kind = pytest.mark.parametrize("kind", STARTERS)


IN_ORDER = """
import atexit, threading, time
atexit.register(lambda: print("last words"))
threading.Thread(target=lambda: (time.sleep(0.02), print("a thread's"))).start()
sys.stdout.write("no end of line; ")
"""


@every_kind
def test_at_its_end_threads_are_waited_for_and_what_was_registered_is_called(kind: Kind) -> None:
    async def main() -> None:
        async with started(kind) as starter:
            worker = await spawn(starter, IN_ORDER)
            assert await output(worker) == "no end of line; a thread's\nlast words\n"
            assert (await worker.exited).code == 0

    run(main)


class Running:
    """A starter that runs, and its loop."""

    def __init__(self, kind: Kind) -> None:
        self.loop = new_event_loop()
        self.starter = kind(surroundings(), FAKE_WORKER)  # type: ignore[call-arg]
        self.loop.run_until_complete(self.starter.start())

    def __call__(self, main: Callable[[Starter], Coroutine[Any, Any, None]]) -> None:
        self.loop.run_until_complete(asyncio.wait_for(main(self.starter), 60))

    def close(self) -> None:
        self.loop.run_until_complete(self.starter.close())
        self.loop.close()


@pytest.fixture(scope="module", params=STARTERS)
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    running = Running(request.param)
    yield running
    running.close()


def test_a_worker_gets_its_configuration_and_the_token(running: Running) -> None:
    async def main(starter: Starter) -> None:
        worker = await spawn(starter, "print(token.decode())")
        assert await output(worker) == f"{TOKEN.decode()}\n"
        assert await worker.exited == ExitStatus(0, (await worker.exited).max_rss)

    running(main)


def test_the_token_is_in_no_command_line_and_no_environment(running: Running) -> None:
    async def main(starter: Starter) -> None:
        worker = await spawn(starter, "print('up'); time.sleep(60)")
        await output(worker, until="up")
        process = psutil.Process(worker.pid)
        for one in (process, process.parent()):
            assert one is not None
            told = " ".join(one.cmdline()) + str(one.environ())
            assert TOKEN.decode() not in told
            assert TOKEN.hex() not in told

    running(main)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("pass", "exited with code 0"),
        ("sys.exit(7)", "exited with code 7"),
        ("1/0", "exited with code 1"),
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
        ("os.kill(os.getpid(), 11)", "was killed by SIGSEGV (segmentation fault)"),
    ],
)
def test_how_a_worker_ended_is_told(running: Running, script: str, said: str) -> None:
    async def main(starter: Starter) -> None:
        status = await (await spawn(starter, script)).exited
        assert str(status) == said
        assert status.max_rss > 1 << 20

    running(main)


def test_a_crash_in_native_code_leaves_a_traceback(running: Running) -> None:
    async def main(starter: Starter) -> None:
        worker = await spawn(starter, "import ctypes; ctypes.string_at(0)")
        await worker.exited
        assert b"Segmentation fault" in os.read(worker.stderr, 65536)

    running(main)


def test_what_a_worker_was_running_when_it_died_is_on_record(running: Running) -> None:
    async def main(starter: Starter) -> None:
        worker = await spawn(starter, "recorder.enter(1, 42); os.kill(os.getpid(), 9)")
        await worker.exited
        assert worker.recorder.running() == [42]

    running(main)


@every_kind
def test_a_worker_is_at_home_in_its_surroundings(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("answer = 42")
    (tmp_path / "json.py").write_text("raise SystemExit('a file beside the notebook hid a module')")

    async def main() -> None:
        here = surroundings(FLAVOUR="vanilla")
        there = Interpreter(
            executable=here.executable,
            cwd=str(tmp_path),
            environ=here.environ,
            sys_path=["", *(here.sys_path or [])],
        )
        starter = kind(there, "tests.support.fake_worker")  # type: ignore[call-arg]
        await starter.start()
        try:
            worker = await spawn(
                starter,
                "import helper\n"
                "env = [os.environ[n] for n in ('FLAVOUR', 'PYTHONPATH', 'OMP_NUM_THREADS')]\n"
                "print(json.dumps([helper.answer, os.getcwd(), *env, sys.path, sys.argv]))",
            )
            answer, cwd, flavour, python_path, limit, path, argv = json.loads(await output(worker))
        finally:
            await starter.close()
        assert (answer, cwd, flavour, limit) == (42, str(tmp_path), "vanilla", "1")
        assert python_path == here.environ["PYTHONPATH"]
        assert path == there.sys_path
        assert argv == ["nbcluster-worker"]

    run(main)


@every_kind
def test_what_the_user_set_is_not_overridden(kind: Kind) -> None:
    async def main() -> None:
        async with started(kind, OMP_NUM_THREADS="3") as starter:
            worker = await spawn(starter, "print(os.environ['OMP_NUM_THREADS'])")
            assert await output(worker) == "3\n"

    run(main)


def test_a_worker_has_no_file_of_its_starters_open(running: Running) -> None:
    async def main(starter: Starter) -> None:
        other = await spawn(starter, "print('up'); time.sleep(60)")
        await output(other, until="up")
        worker = await spawn(
            starter,
            "for fd in os.listdir('/proc/self/fd'):\n"
            "    try:\n"
            "        print(fd, os.readlink(f'/proc/self/fd/{fd}'))\n"
            "    except OSError:\n"
            "        pass",
        )
        links = dict(line.split(" ", 1) for line in (await output(worker)).splitlines())
        assert [links.pop(fd).split(":")[0] for fd in "012"][1:] == ["pipe", "pipe"]
        # Its recorder (mapping one keeps a second descriptor), and the end of its supervisor.
        assert all("nbcluster-" in link or link.startswith("pipe:") for link in links.values())
        assert sum(link.startswith("pipe:") for link in links.values()) <= 1

    running(main)


def test_random_numbers_differ_between_workers(running: Running) -> None:
    async def main(starter: Starter) -> None:
        workers = [await spawn(starter, "print(random.random())") for _ in range(3)]
        assert len({await output(worker) for worker in workers}) == 3

    running(main)


@pytest.mark.skipif(sys.platform != "linux", reason="timers are late on purpose on Linux only")
def test_timers_of_a_worker_are_not_late_on_purpose(running: Running) -> None:
    async def main(starter: Starter) -> None:
        worker = await spawn(starter, "print(open('/proc/self/timerslack_ns').read().strip())")
        assert await output(worker) == "1\n"

    running(main)


def test_tasks_can_use_multiprocessing(running: Running) -> None:
    script = """
import multiprocessing
with multiprocessing.get_context("spawn").Pool(1) as pool:
    print(pool.apply(abs, (-3,)))
"""

    async def main(starter: Starter) -> None:
        worker = await spawn(starter, script)
        assert await output(worker) == "3\n"
        assert (await worker.exited).code == 0

    running(main)


def test_a_worker_can_be_asked_to_end(running: Running) -> None:
    async def main(starter: Starter) -> None:
        worker = await spawn(starter, "print('up'); time.sleep(60)")
        await output(worker, until="up")
        worker.terminate()
        assert (await worker.exited).code == -signal.SIGTERM
        worker.terminate()
        worker.kill()

    running(main)


def test_a_worker_that_does_not_listen_can_be_killed(running: Running) -> None:
    script = """
import ctypes, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('up')
ctypes.PyDLL(None).sleep(60)
"""

    async def main(starter: Starter) -> None:
        worker = await spawn(starter, script)
        await output(worker, until="up")
        worker.terminate()
        worker.kill()
        assert (await worker.exited).code == -signal.SIGKILL

    running(main)


LEAVE_CHILDREN = """
import subprocess
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
children = [subprocess.Popen(sleep).pid, subprocess.Popen(sleep, start_new_session=True).pid]
read, write = os.pipe()
for daemon in (False, True):
    if os.fork() == 0:
        if daemon:
            os.setsid()
            if os.fork():
                os._exit(0)
        os.write(write, b"%d " % os.getpid())
        time.sleep(600)
pids = b""
while pids.count(b" ") < 2:
    pids += os.read(read, 100)
children += [int(pid) for pid in pids.split()]
print(json.dumps(children))
print("up")
"""


@on_linux
@pytest.mark.parametrize("how", ["kill", "terminate", "SIGKILL", "end"])
def test_what_a_task_started_ends_with_its_worker_and_not_with_another(running: Running, how: str) -> None:
    async def main(starter: Starter) -> None:
        end = "sys.stdin.read(); os._exit(0)" if how == "end" else "time.sleep(600)"
        worker = await spawn(starter, LEAVE_CHILDREN + end, 0)
        children = json.loads((await output(worker, until="up")).splitlines()[0])
        other = await spawn(starter, LEAVE_CHILDREN + "time.sleep(600)", 1)
        others = json.loads((await output(other, until="up")).splitlines()[0])
        assert len(children) == len(others) == 4
        if how == "SIGKILL":
            os.kill(worker.pid, signal.SIGKILL)
        elif how != "end":
            getattr(worker, how)()
        await worker.exited
        await soon(lambda: not any(is_running(pid) for pid in children), f"the end of {children}")
        assert all(is_running(pid) for pid in others)
        assert not other.exited.done()
        other.kill()
        await soon(lambda: not any(is_running(pid) for pid in others), f"the end of {others}")

    running(main)


SUPERVISOR = """
import asyncio, sys
from tests.supervisor.starters import *

async def main():
    kind = next(kind for kind in STARTERS if kind.__name__ == sys.argv[1])
    async with started(kind) as starter:
        worker = await spawn(starter, sys.argv[2])
        print(worker.pid, await output(worker, until="up"), flush=True)
        await asyncio.Event().wait()

run(main)
"""


@on_linux
@every_kind
@pytest.mark.parametrize(
    "last",
    ["time.sleep(600)", "import ctypes; ctypes.PyDLL(None).sleep(600)", "os.kill(os.getpid(), 19)"],
    ids=["idle", "holding the GIL", "stopped"],
)
def test_nothing_outlives_a_supervisor_that_is_killed(kind: Kind, last: str) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, kind.__name__, LEAVE_CHILDREN + last],
        env=surroundings().start_environ(),
        stdout=subprocess.PIPE,
    )
    assert supervisor.stdout is not None
    pid, _, children = supervisor.stdout.readline().decode().partition(" ")
    pids = [int(pid), *json.loads(children)]
    assert all(is_running(pid) for pid in pids)
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    if kind is Zygote:
        eventually(lambda: not any(is_running(pid) for pid in pids), f"the end of {pids}")
    else:  # nobody is left who could end what the worker started
        eventually(lambda: not is_running(int(pid)))
        for orphan in pids[1:]:
            if is_running(orphan):
                os.kill(orphan, signal.SIGKILL)


@every_kind
def test_an_interpreter_that_is_not_there_is_named(kind: Kind) -> None:
    async def main() -> None:
        here = surroundings()
        nowhere = Interpreter(executable="/no/such/python", cwd=here.cwd, environ=here.environ)
        starter = kind(nowhere)  # type: ignore[call-arg]

        async def use() -> None:
            await starter.start()
            await starter.spawn(0, b"", b"")

        with pytest.raises(ClusterError, match="/no/such/python cannot be run"):
            await use()
        await starter.close()

    run(main)
