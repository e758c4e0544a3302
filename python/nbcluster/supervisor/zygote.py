"""``nbcluster.supervisor.zygote FD``: imports what workers need, once, and forks them at once.

    supervisor ◀── socket FD ──▶ zygote ── fork ──▶ worker ──▶ what its tasks start
                                    ▲                                  │
                                    └── subreaper: orphans come here ◀─┘

Rules
1. One thread, no user code: nothing in here can block it or break it, and forking is safe.
2. Whoever started it may die at any moment, in any way. It then kills all its descendants and ends last.
3. A worker dies with the zygote (PDEATHSIG): no worker outlives the one who would clean up after it.
4. When a worker is gone, so is all that descended from it, before its end is reported.
5. The token comes over the socket: never in arguments, never in the environment.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import importlib
import os
import resource
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from typing import NoReturn

from nbcluster import lean
from nbcluster.store.flight_recorder import WORKER_FD
from nbcluster.supervisor import parent, worker_process
from nbcluster.supervisor.channel import (
    Channel,
    Exited,
    Failed,
    Kill,
    Prepare,
    Ready,
    Signal,
    Spawn,
    Spawned,
    ToZygote,
)
from nbcluster.supervisor.descendants import Table, bears_mark, descendants, end_all
from nbcluster.supervisor.interpreter import Interpreter

_PARENT_CHECK = 1.0
"""Seconds between two looks whether the supervisor lives, where the kernel cannot tell us."""
_LAST_RESORT = 5.0
"""Seconds after which the zygote ends even if something cannot be killed."""
_FILES = 65536
"""As many open files as a worker may want, if the system lets it."""


class _Worker:
    """A forked child."""

    __slots__ = ("id", "mark", "pid")

    def __init__(self, id: int, pid: int, mark: str) -> None:
        self.id = id
        self.pid = pid
        self.mark = mark

    def itself(self, table: Table) -> list[int]:
        """The root of all that belongs to this worker."""
        return [self.pid]


class _BecomeWorker(BaseException):
    """Raised in a forked child: leaves everything that is the zygote's, and begins anew."""

    def __init__(self, spawn: Spawn) -> None:
        self.spawn = spawn


class _SupervisorGone(BaseException):
    """Nobody is there any more for whom to run workers: the usual end."""


class Zygote:
    """The parent of one supervisor's workers."""

    def __init__(self, channel: Channel, supervisor: int) -> None:
        self._channel = channel
        self._supervisor = supervisor
        self._pid = os.getpid()
        self._workers: dict[int, _Worker] = {}
        self.worker_module = ""

    def run(self) -> None:
        """Serve the supervisor until it is gone; then end everything.

        Raises:
            _BecomeWorker: in a child.
        """
        wake_read, wake_write = os.pipe()
        for fd in (wake_read, wake_write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(wake_read, select.POLLIN)
        watched = parent.watch(self._supervisor)
        if watched is not None:
            poll.register(watched, select.POLLIN)
        try:
            while True:
                ready = {fd for fd, _ in poll.poll(None if watched is not None else _PARENT_CHECK * 1000)}
                if wake_read in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.read(wake_read, 4096)
                if watched in ready or os.getppid() != self._supervisor:
                    raise _SupervisorGone
                self._reap()
                if self._channel.fileno() in ready:
                    self._serve()
        except (_SupervisorGone, OSError):  # an OSError is the socket's: nobody reads our reports
            self._end_everything()

    def _serve(self) -> None:
        received = self._channel.receive()
        if received is None:
            raise _SupervisorGone
        for message, descriptors in received:
            if isinstance(message, Prepare):
                self._prepare(message)
            elif isinstance(message, Spawn):
                self._spawn(message, descriptors)
            elif message.id in self._workers:
                worker = self._workers[message.id]
                if isinstance(message, Signal):
                    os.kill(worker.pid, message.signal)  # not reaped yet: the pid is still its own
                elif isinstance(message, Kill):
                    end_all(worker.itself)

    def _prepare(self, message: Prepare) -> None:
        surroundings = Interpreter(
            executable=sys.executable, cwd=message.cwd, environ=message.environ, sys_path=message.sys_path
        )
        try:
            importlib.import_module(message.worker)  # before files beside a notebook can hide modules
            surroundings.enter()
        except Exception:
            self._channel.send(Failed(traceback.format_exc()))
            return
        self.worker_module = message.worker
        gc.collect()
        lean.ready()  # what is here now stays shared with all workers
        self._channel.send(Ready())

    def _spawn(self, message: Spawn, descriptors: Sequence[int]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        # A worker that is asked to end at once must not take that for the zygote's.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            pid = os.fork()
        except OSError as error:
            answer: Failed | Spawned = Failed(f"fork failed: {error}", message.id)
        else:
            if pid == 0:
                self._begin_child(message, descriptors)
            self._workers[message.id] = _Worker(message.id, pid, message.mark)
            answer = Spawned(message.id, pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        for fd in descriptors:
            os.close(fd)
        self._channel.send(answer)

    def _begin_child(self, message: Spawn, descriptors: Sequence[int]) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            os.setsid()
            worker_process.die_with(self._pid)
            # First out of the way of 1, 2 and 3, then there.
            safe = [fcntl.fcntl(fd, fcntl.F_DUPFD, 16) for fd in descriptors]
            for fd, place in zip(safe, (1, 2, WORKER_FD), strict=True):
                os.dup2(fd, place, inheritable=place != WORKER_FD)
            self._channel.sock.detach()
            os.closerange(WORKER_FD + 1, highest_descriptor() + 1)
            worker_process.set_up(message.name, message.mark)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
            os._exit(1)
        raise _BecomeWorker(message)

    def _reap(self) -> None:
        """Take leave of children that ended: workers, with all they left behind, and orphans."""
        by_pid = {worker.pid: worker for worker in self._workers.values()}
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            worker = by_pid.get(pid)
            if worker is None:
                continue
            del self._workers[worker.id]
            if self._has_strangers():
                end_all(functools.partial(self._left_by, worker))
            code = os.waitstatus_to_exitcode(status)
            self._channel.send(Exited(worker.id, code, usage.ru_maxrss * 1024))

    def _has_strangers(self) -> bool:
        """Whether there may be children that are no workers: most leave none, and to look at all takes long."""
        try:
            with open(f"/proc/self/task/{self._pid}/children") as file:
                children = file.read().split()
        except OSError:
            return True  # not every kernel tells
        return len(children) > len(self._workers)  # those stay children until they are reaped, which is done here

    def _left_by(self, dead: _Worker, table: Table) -> list[int]:
        """The children of this process that are no workers, but were this one's."""
        alive = {worker.pid for worker in self._workers.values()}
        return [
            process.pid
            for process in table.values()
            if process.parent == self._pid
            and process.pid not in alive
            and (process.session == dead.pid or bears_mark(process.pid, dead.mark))
        ]

    def _end_everything(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        deadline = time.monotonic() + _LAST_RESORT
        self._workers.clear()
        while self._has_strangers() and time.monotonic() < deadline:
            end_all(_all_below)
            while True:
                try:
                    pid, _ = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    return
                if pid == 0:
                    break
            time.sleep(0.001)


def _all_below(table: Table) -> set[int]:
    return descendants(table, [os.getpid()]) - {os.getpid()}


def highest_descriptor() -> int:
    """The largest number of an open file of this process."""
    try:
        return max(int(name) for name in os.listdir("/proc/self/fd"))
    except OSError:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _allow_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _quit(*_: object) -> NoReturn:
    raise _SupervisorGone


def main(fd: str) -> NoReturn:
    """Be a zygote that has an interpreter to itself."""
    serve(int(fd))
    os._exit(0)  # everything has ended in good order: nothing is won by taking the interpreter apart


def serve(fd: int) -> None:
    """Be a zygote until the supervisor is gone; in each forked child: be a worker, and never return."""
    supervisor = os.getppid()
    worker_process.adopt_orphans()
    _allow_many_files()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _quit)
    zygote = Zygote(Channel(socket.socket(fileno=fd), ToZygote), supervisor)
    try:
        zygote.run()
    except _BecomeWorker as become:
        spawn = become.spawn
    else:
        return
    module = zygote.worker_module
    del zygote
    worker_process.run_worker(module, spawn.config, spawn.token)
