"""How a zygote comes to be: as an interpreter of its own, or as a fork of a process that has just begun.

    launch()   any process ── starts ──▶ zygote
    fork()     a cluster's process, in its first moments ── forks ──▶ zygote

A fork takes no time and shares what is imported already, so that is what a cluster's own process does, before it
has a thread, an event loop or a link. A user's process is never forked.

A zygote that was started early imports what workers need while whoever started it imports the rest of a cluster.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import traceback
from typing import NoReturn, Protocol

from nbcluster.errors import ClusterError
from nbcluster.supervisor.channel import Channel, Prepare, ToSupervisor
from nbcluster.supervisor.interpreter import START_DIRECTORY, Interpreter

AVAILABLE = sys.platform == "linux"
"""Whether there are zygotes here: forking is safe, and what is forked can be looked after."""

WORKER = "nbcluster.worker.main"
"""The module of the usual workers."""


class Process(Protocol):
    """What is needed of a ``Popen``."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """The exit code once it has ended."""

    def wait(self) -> int:
        """The exit code, when it has ended."""

    def kill(self) -> None:
        """End it at once."""


class _Child:
    """A fork of this process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)


class Launched:
    """A zygote that begins, and this process's ends of its socket and its output; whoever has it must end it.

    Args:
        process: the zygote's.
        sock: this end of the socket.
        output: what the zygote prints, to be read.

    Neither ever blocks this process.
    """

    def __init__(self, process: Process, sock: socket.socket, output: int) -> None:
        sock.setblocking(False)
        os.set_blocking(output, False)
        self.process = process
        self.channel = Channel(sock, ToSupervisor)
        self.output = output
        self.prepared = False

    def prepare(self, interpreter: Interpreter, worker: str = WORKER) -> None:
        """Say what to import, and where. What the socket does not take at once is left in the channel."""
        self.prepared = True
        with contextlib.suppress(OSError):  # it is gone: the end of its output will say so
            self.channel.send(
                Prepare(cwd=interpreter.cwd, sys_path=interpreter.sys_path, environ=interpreter.environ, worker=worker)
            )

    def abandon(self) -> None:
        """End it: nobody wants it. It has no workers, so nothing needs to be cleaned up."""
        self.channel.close()
        os.close(self.output)
        self.process.kill()
        self.process.wait()


def launch(interpreter: Interpreter) -> Launched:
    """Start an interpreter that becomes a zygote.

    Raises:
        ClusterError: it cannot be run.
    """
    ours, theirs = socket.socketpair()
    output, output_write = os.pipe()
    command = interpreter.command("nbcluster.supervisor.zygote", str(theirs.fileno()))
    try:
        process = subprocess.Popen(
            command,
            cwd=START_DIRECTORY,
            env=interpreter.start_environ(),
            stdin=subprocess.DEVNULL,
            stdout=output_write,
            stderr=output_write,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # or Ctrl-C in a terminal would reach it
        )
    except OSError as error:
        ours.close()
        os.close(output)
        raise ClusterError(f"{interpreter.executable} cannot be run: {error}") from error
    finally:
        theirs.close()
        os.close(output_write)
    return Launched(process, ours, output)


def can_fork() -> bool:
    """Whether this process may be forked now: a child would wait for ever for what another thread holds."""
    return AVAILABLE and len(os.listdir("/proc/self/task")) == 1


def fork() -> Launched:
    """Fork this process, which :func:`can_fork` allows: the child becomes a zygote and never returns from here."""
    ours, theirs = socket.socketpair()
    output, output_write = os.pipe()
    gc.freeze()  # what is here now stays shared: the collector of neither must write to it
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        ours.detach()  # its number will be that of something else
        _become_zygote(theirs, output_write)
    theirs.close()
    os.close(output_write)
    return Launched(_Child(pid), ours, output)


def _become_zygote(sock: socket.socket, output: int) -> NoReturn:
    code = 1
    try:
        from nbcluster.supervisor import worker_process, zygote

        os.setsid()
        # Nothing of the other process's may stay open here: somebody waits for its end.
        null = os.open(os.devnull, os.O_RDONLY)
        for fd, place in ((null, 0), (output, 1), (output, 2)):
            os.dup2(fd, place)
        kept = sock.detach()
        os.closerange(3, kept)
        os.closerange(kept + 1, zygote.highest_descriptor() + 1)
        for name, place in (("stdout", 1), ("stderr", 2)):  # the old ones remember what kind of file it was
            old = getattr(sys, name)
            new = open(place, "w", encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
            setattr(sys, name, new)
            setattr(sys, f"__{name}__", new)
        worker_process.name_process("nbc zygote", "nbcluster zygote")
        zygote.serve(kept)
        code = 0
    except SystemExit:  # of a worker, which has become one in here: it ends as a process does
        raise
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    os._exit(code)
