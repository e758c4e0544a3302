"""Starting workers by forking: the supervisor's end of a zygote."""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from typing import Any

from nbcluster.deadlines import within
from nbcluster.errors import ClusterError, TimeoutError
from nbcluster.store.flight_recorder import FlightRecorder
from nbcluster.supervisor.channel import (
    Channel,
    Exited,
    Failed,
    Kill,
    Ready,
    Signal,
    Spawn,
    Spawned,
)
from nbcluster.supervisor.descendants import end_all, marked, new_mark, worker_mark
from nbcluster.supervisor.interpreter import Interpreter
from nbcluster.supervisor.launching import WORKER, Launched, Process, launch
from nbcluster.supervisor.process import ExitStatus, Starter, WorkerProcess, output_pipes
from nbcluster.types import WorkerName

logger = logging.getLogger("nbcluster.supervisor")

_START_TIMEOUT = 60.0
_END_TIMEOUT = 8.0
"""More than the zygote allows itself."""
_KEPT_OUTPUT = 8192
_LOST = ExitStatus(-9)

_channels: weakref.WeakSet[Channel] = weakref.WeakSet()


class Zygote(Starter):
    """Forks workers from a process that has everything imported. Linux only.

    Args:
        interpreter: where workers run.
        worker: their module.
        launched: a zygote of this interpreter that has been launched already, and is this object's from now on.
    """

    def __init__(self, interpreter: Interpreter, worker: str = WORKER, launched: Launched | None = None) -> None:
        self._interpreter = interpreter
        self._worker_module = worker
        self._launched = launched
        self._mark = new_mark()
        self._ids = 0
        self._process: Process | None = None
        self._channel: Channel | None = None
        self._ready: asyncio.Future[None] | None = None
        self._forks: dict[int, asyncio.Future[int]] = {}
        self._early_ends: dict[int, ExitStatus] = {}
        """Of workers that ended before :meth:`spawn` could take note of their start."""
        self._workers: dict[int, WorkerProcess] = {}
        self._output = bytearray()
        self._ended: asyncio.Future[None] | None = None
        self._closing = False

    @property
    def pid(self) -> int:
        """The zygote's process id; 0 before the start."""
        return 0 if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the zygote and wait until it has imported everything."""
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        self._ended = loop.create_future()
        interpreter = self._interpreter
        launched = self._launched or launch(interpreter)
        self._launched = None
        if not launched.prepared:
            launched.prepare(interpreter, self._worker_module)
        self._adopt(launched)
        try:
            await within(asyncio.shield(self._ready), _START_TIMEOUT)
        except BaseException as error:
            await self.close()
            if isinstance(error, TimeoutError):
                raise ClusterError(
                    f"{interpreter.executable} did not import {self._worker_module} within "
                    f"{_START_TIMEOUT:g} s{self._said()}"
                ) from error
            raise

    async def spawn(self, name: WorkerName, config: bytes, token: bytes) -> WorkerProcess:
        """Fork a worker."""
        self._ids += 1
        id = self._ids
        mark = worker_mark(self._mark, id)
        recorder = FlightRecorder.create(mark)
        (stdout, stdout_write), (stderr, stderr_write) = output_pipes()
        self._forks[id] = forked = asyncio.get_running_loop().create_future()
        writes = (stdout_write, stderr_write, recorder.fd)
        try:
            message = Spawn(id=id, name=str(name), mark=mark, config=config, token=token)
            self._send(message, writes)
            pid = await forked
        except BaseException:
            os.close(stdout)
            os.close(stderr)
            recorder.close()
            self._send_if_open(Kill(id=id))
            raise
        finally:
            del self._forks[id]
            end = self._early_ends.pop(id, None)
            os.close(stdout_write)
            os.close(stderr_write)
        worker = WorkerProcess(
            name,
            pid,
            stdout,
            stderr,
            recorder,
            send_signal=lambda number: self._send_if_open(Signal(id=id, signal=number)),
            kill=lambda: self._send_if_open(Kill(id=id)),
        )
        if end is None:
            self._workers[id] = worker
        else:
            _ended(worker, end)
        return worker

    async def close(self) -> None:
        """Hang up: the zygote ends everything, then itself; wait for that."""
        self._closing = True
        if self._launched is not None:
            self._launched.abandon()
            self._launched = None
        if self._process is None or self._ended is None:
            return
        self._hang_up()
        try:
            await within(asyncio.shield(self._ended), _END_TIMEOUT)
        except TimeoutError:
            logger.warning("The zygote (pid %d) did not end; it is killed", self.pid)
            self._process.kill()
            await self._ended

    # --- the process ---

    def _adopt(self, launched: Launched) -> None:
        self._process, self._channel = launched.process, launched.channel
        _channels.add(launched.channel)
        loop = asyncio.get_running_loop()
        loop.add_reader(launched.channel.sock, self._readable)
        loop.add_writer(launched.channel.sock, self._writable)  # for what could not be sent before
        loop.add_reader(launched.output, self._read_output, launched.output)

    def _read_output(self, fd: int) -> None:
        """The zygote has little to say: what went wrong when it started, or broke."""
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return
        self._output += data
        del self._output[:-_KEPT_OUTPUT]
        if not data:
            asyncio.get_running_loop().remove_reader(fd)
            os.close(fd)
            self._await_end()

    def _await_end(self) -> None:
        """Its output has ended, so it is about to; only then is everything that it leaves known."""
        assert self._process is not None
        ended = self._process.poll()
        if ended is None:
            asyncio.get_running_loop().call_later(0.001, self._await_end)
            return
        self._hang_up()
        if ended != 0:  # it could not clean up
            end_all(marked(self._mark))
        code = ExitStatus(ended)
        for worker in self._workers.values():
            _ended(worker, _LOST)
        self._workers.clear()
        error = ClusterError(f"the zygote, which starts workers, {code}{self._said()}")
        assert self._ready is not None
        waiting: list[asyncio.Future[Any]] = [self._ready, *self._forks.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # perhaps nobody waits for it any more
        assert self._ended is not None
        self._ended.set_result(None)
        if not self._closing:
            logger.error("%s", error)
            self.on_lost(str(error))

    def _said(self) -> str:
        text = self._output.decode(errors="replace").strip()
        return f"; it said:\n{text}" if text else ""

    # --- the socket ---

    def _send(self, message: Any, descriptors: tuple[int, ...] = ()) -> None:
        if self._channel is None:
            raise ClusterError(f"the zygote, which starts workers, is not running{self._said()}")
        try:
            done = self._channel.send(message, descriptors)
        except OSError:
            return  # it is gone: the end of its output says so to all who wait
        if not done:
            asyncio.get_running_loop().add_writer(self._channel.sock, self._writable)

    def _send_if_open(self, message: Any) -> None:
        if self._channel is not None:
            self._send(message)

    def _writable(self) -> None:
        if self._channel is None:
            return
        try:
            done = self._channel.flush()
        except OSError:
            done = True
        if done:
            asyncio.get_running_loop().remove_writer(self._channel.sock)

    def _readable(self) -> None:
        assert self._channel is not None
        received = self._channel.receive()
        if received is None:
            self._hang_up()
            return
        for message, _ in received:
            self._received(message)

    def _received(self, message: Any) -> None:
        if isinstance(message, Exited):
            status = ExitStatus(message.code, message.max_rss)
            worker = self._workers.pop(message.id, None)
            if worker is not None:
                _ended(worker, status)
            elif message.id in self._forks:
                self._early_ends[message.id] = status
        elif isinstance(message, Spawned):
            self._settle(message.id, message.pid)
        elif isinstance(message, Ready):
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
        elif isinstance(message, Failed):
            self._failed(message)

    def _settle(self, id: int, pid: int) -> None:
        forked = self._forks.get(id)
        if forked is not None and not forked.done():
            forked.set_result(pid)

    def _failed(self, message: Failed) -> None:
        future: asyncio.Future[Any] | None
        future = self._ready if message.id is None else self._forks.get(message.id)
        if future is not None and not future.done():
            place = f"{self._interpreter.executable} in {self._interpreter.cwd}"
            future.set_exception(ClusterError(f"workers cannot be started by {place}:\n{message.text}"))

    def _hang_up(self) -> None:
        if self._channel is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._channel.sock)
            loop.remove_writer(self._channel.sock)
            self._channel.close()
            self._channel = None


def _ended(worker: WorkerProcess, status: ExitStatus) -> None:
    if not worker.exited.done():  # whoever waited for it may have been cancelled
        worker.exited.set_result(status)


def _let_go() -> None:
    """A fork of this process must not keep the zygote from noticing our end."""
    for channel in list(_channels):
        fd = channel.sock.detach()  # close() would wait for the event loop, which is not here, to let go of it
        if fd >= 0:
            os.close(fd)


os.register_at_fork(after_in_child=_let_go)
