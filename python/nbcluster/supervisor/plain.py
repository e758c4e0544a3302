"""Starting each worker as a Python of its own: slower than forking, and safe everywhere on POSIX."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable

from nbcluster.errors import ClusterError
from nbcluster.store.flight_recorder import FlightRecorder
from nbcluster.supervisor import descendants
from nbcluster.supervisor.interpreter import START_DIRECTORY, Interpreter
from nbcluster.supervisor.plain_worker import Start, encode
from nbcluster.supervisor.process import ExitStatus, Starter, WorkerProcess, output_pipes
from nbcluster.types import WorkerName


class PlainStarter(Starter):
    """Starts workers one by one.

    Args:
        interpreter: where they run.
        worker: their module.
    """

    def __init__(self, interpreter: Interpreter, worker: str = "nbcluster.worker.main") -> None:
        self._interpreter = interpreter
        self._worker_module = worker
        self._mark = descendants.new_mark()
        self._ids = 0
        self._workers: set[WorkerProcess] = set()

    async def start(self) -> None:
        """Nothing to prepare."""

    async def spawn(self, name: WorkerName, config: bytes, token: bytes) -> WorkerProcess:
        """Start a worker; that it could import everything shows when it joins."""
        self._ids += 1
        mark = descendants.worker_mark(self._mark, self._ids)
        start = Start(self._interpreter, self._worker_module, str(name), mark, config, token)
        recorder = FlightRecorder.create(mark)
        (stdout, stdout_write), (stderr, stderr_write) = output_pipes()
        try:
            process = self._launch(stdout_write, stderr_write, recorder.fd)
        except BaseException:
            os.close(stdout)
            os.close(stderr)
            recorder.close()
            raise
        finally:
            os.close(stdout_write)
            os.close(stderr_write)
        worker = WorkerProcess(
            name,
            process.pid,
            stdout,
            stderr,
            recorder,
            send_signal=process.send_signal,
            kill=lambda: _end_tree(process.pid),
        )
        self._workers.add(worker)
        loop = asyncio.get_running_loop()

        def ended(status: ExitStatus) -> None:
            process.returncode = status.code  # it is reaped: Popen must not try to
            if process.stdin is not None:
                process.stdin.close()
            if sys.platform == "linux":
                descendants.end_all(descendants.marked(mark))
            self._workers.discard(worker)
            worker.exited.set_result(status)

        def tell(status: ExitStatus) -> None:
            loop.call_soon_threadsafe(ended, status)

        threading.Thread(target=_feed_and_wait, args=(process, encode(start), tell), daemon=True).start()
        return worker

    async def close(self) -> None:
        """Kill all workers and wait for their end."""
        workers = list(self._workers)
        for worker in workers:
            worker.kill()
        await asyncio.gather(*(worker.exited for worker in workers))

    def _launch(self, stdout: int, stderr: int, recorder: int) -> subprocess.Popen[bytes]:
        command = self._interpreter.command("nbcluster.supervisor.plain_worker", str(recorder), str(os.getpid()))
        try:
            return subprocess.Popen(
                command,
                cwd=START_DIRECTORY,
                env=self._interpreter.start_environ(),
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
                pass_fds=[recorder],
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise ClusterError(f"{self._interpreter.executable} cannot be run: {error}") from error


def _feed_and_wait(process: subprocess.Popen[bytes], start: bytes, tell: Callable[[ExitStatus], None]) -> None:
    """In a thread of its own: a pipe takes 64 KiB at once, and only waiting tells of an end everywhere."""
    assert process.stdin is not None
    try:
        process.stdin.write(start)
    except BrokenPipeError:
        pass  # it ended already: how, comes next
    _, status, usage = os.wait4(process.pid, 0)
    unit = 1 if sys.platform == "darwin" else 1024
    tell(ExitStatus(os.waitstatus_to_exitcode(status), usage.ru_maxrss * unit))


def _end_tree(pid: int) -> None:
    if sys.platform == "linux":
        descendants.end_all(lambda _: [pid])
    else:
        _end_family(pid)


def _end_family(pid: int) -> None:
    """The best that can be done without ``/proc``."""
    import psutil

    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            pass  # it went by itself
