"""Running worker processes in tests: their surroundings, their output, their end."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from nbcluster.comm.loop import new_event_loop
from nbcluster.supervisor.forking import Zygote
from nbcluster.supervisor.interpreter import Interpreter
from nbcluster.supervisor.plain import PlainStarter
from nbcluster.supervisor.process import Starter, WorkerProcess
from tests.support.eventually import soon
from tests.support.fake_worker import configure

ROOT = str(Path(__file__).parents[2])
FAKE_WORKER = "tests.support.fake_worker"
STARTERS = [PlainStarter, *([Zygote] if sys.platform == "linux" else [])]
TOKEN = b"a token of thirty-two bytes, yes!"

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine on a loop such as ours are."""
    loop = new_event_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(main(), 60))
    finally:
        loop.close()


def surroundings(**environ: str) -> Interpreter:
    """Where workers of tests run: they can import ``tests``."""
    path = os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])
    return Interpreter.current({"PYTHONPATH": path, **environ})


@asynccontextmanager
async def started(kind: Callable[..., Starter], **environ: str) -> AsyncIterator[Starter]:
    starter = kind(surroundings(**environ), FAKE_WORKER)
    await starter.start()
    try:
        yield starter
    finally:
        await starter.close()


async def spawn(starter: Starter, script: str, name: int | str = 0) -> WorkerProcess:
    return await starter.spawn(name, configure(script), TOKEN)


async def output(worker: WorkerProcess, until: str | None = None) -> str:
    """What a worker prints, up to a line, or to its end."""
    data = b""

    def enough() -> bool:
        nonlocal data
        while True:
            try:
                piece = os.read(worker.stdout, 65536)
            except BlockingIOError:
                break
            if not piece:
                return True
            data += piece
        return until is not None and f"{until}\n".encode() in data

    await soon(enough, f"output of {worker}: {until}")
    return data.decode()


def is_running(pid: int) -> bool:
    """True if there is such a process, and it is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
