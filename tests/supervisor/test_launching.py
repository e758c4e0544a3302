"""Zygotes that were launched before anybody needs them: as interpreters, and as forks."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest

from nbcluster.supervisor import launching
from nbcluster.supervisor.forking import Zygote
from tests.supervisor.starters import FAKE_WORKER, is_running, output, run, spawn, surroundings
from tests.support.eventually import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="zygotes are for Linux")

PRELUDE = """
import asyncio, json, os, sys
from nbcluster.supervisor import launching
from nbcluster.supervisor.forking import Zygote
from tests.supervisor.starters import FAKE_WORKER, is_running, output, run, spawn, surroundings

def cmdline(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read().rstrip("\\0").split("\\0")
"""


def in_a_young_process(script: str) -> list[Any]:
    """What a script prints that forks: this process has threads."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script)],
        env=surroundings().environ,
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_one_that_was_launched_early_serves_as_any_other() -> None:
    async def main() -> None:
        launched = launching.launch(surroundings())
        launched.prepare(surroundings(), FAKE_WORKER)
        zygote = Zygote(surroundings(), FAKE_WORKER, launched)
        await zygote.start()
        assert zygote.pid == launched.process.pid
        worker = await spawn(zygote, "print(os.getppid())")
        assert await output(worker) == f"{zygote.pid}\n"
        await zygote.close()
        assert not is_running(zygote.pid)

    run(main)


def test_one_that_nobody_wants_is_ended() -> None:
    launched = launching.launch(surroundings())
    launched.prepare(surroundings())
    launched.abandon()
    assert not is_running(launched.process.pid)


def test_one_whose_starter_is_closed_before_the_start_is_ended() -> None:
    async def main() -> None:
        launched = launching.launch(surroundings())
        await Zygote(surroundings(), launched=launched).close()
        assert not is_running(launched.process.pid)

    run(main)


def test_an_order_that_the_socket_does_not_take_at_once_arrives_whole() -> None:
    async def main() -> None:
        interpreter = surroundings(LARGE="x" * 100_000, LARGER="y" * 120_000)
        launched = launching.launch(surroundings())
        launched.prepare(interpreter, FAKE_WORKER)
        zygote = Zygote(interpreter, FAKE_WORKER, launched)
        await zygote.start()
        assert (await (await spawn(zygote, "pass")).exited).code == 0
        await zygote.close()

    run(main)


def test_a_process_with_threads_is_not_forked() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert not launching.can_fork()
    finally:
        stop.set()
        thread.join()


def test_a_fork_serves_like_an_interpreter_of_its_own_and_holds_nothing_of_its_parent() -> None:
    [seen] = in_a_young_process(
        """
        read, write = os.pipe()
        assert launching.can_fork()
        launched = launching.fork()
        launched.prepare(surroundings(), FAKE_WORKER)

        async def main():
            zygote = Zygote(surroundings(), FAKE_WORKER, launched)
            await zygote.start()
            files = {os.readlink(f"/proc/{zygote.pid}/fd/{name}") for name in os.listdir(f"/proc/{zygote.pid}/fd")}
            ours = {os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2, read, write)}
            worker = await spawn(zygote, "print(os.getppid(), os.getsid(0) == os.getpid(), sys.stdout.line_buffering)")
            said = await output(worker)
            living = await spawn(zygote, "print('up', flush=True); time.sleep(600)")
            await output(living, until="up")
            names = [cmdline(zygote.pid), cmdline(living.pid)]
            await zygote.close()
            gone = not is_running(zygote.pid) and not is_running(living.pid)
            print(json.dumps([zygote.pid, said.split(), sorted(files & ours), names, gone]))

        run(main)
        """
    )
    pid, said, shared, names, gone = seen
    assert said == [str(pid), "True", "True"]
    assert shared == []
    assert names == [["nbcluster zygote"], ["nbcluster worker 0"]]
    assert gone


def test_a_fork_ends_with_the_process_that_it_was_forked_from() -> None:
    script = """
    launched = launching.fork()
    launched.prepare(surroundings(), FAKE_WORKER)

    async def main():
        zygote = Zygote(surroundings(), FAKE_WORKER, launched)
        await zygote.start()
        worker = await spawn(zygote, "print('up', flush=True); time.sleep(600)")
        await output(worker, until="up")
        print(json.dumps([zygote.pid, worker.pid]), flush=True)
        os._exit(0)

    run(main)
    """
    [pids] = in_a_young_process(script)
    eventually(lambda: not any(is_running(pid) for pid in pids), "the end of the zygote and its worker")


def test_a_zygote_looks_at_all_processes_only_if_a_worker_left_some() -> None:
    """A look takes milliseconds, for each worker that ends."""
    [seen] = in_a_young_process(
        """
        from nbcluster.supervisor import zygote as module
        end_all = module.end_all
        module.end_all = lambda roots: (os.write(1, b"looked "), end_all(roots))
        launched = launching.fork()
        launched.prepare(surroundings(), FAKE_WORKER)

        async def main():
            zygote = Zygote(surroundings(), FAKE_WORKER, launched)
            await zygote.start()
            for _ in range(3):
                await (await spawn(zygote, "pass")).exited
            before = zygote._said()
            leave = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)"
            await (await spawn(zygote, leave)).exited
            await zygote.close()
            print(json.dumps([before, zygote._said().split()[-1]]))

        run(main)
        """
    )
    assert seen == ["", "looked"]
