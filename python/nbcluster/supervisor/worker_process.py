"""From a fresh process to a running worker: what is done in the child, by whichever way it was started."""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import io
import os
import random
import signal
import sys
import types
from typing import Any, NoReturn

import msgspec

from nbcluster import lean
from nbcluster.supervisor import records
from nbcluster.supervisor.descendants import MARK_VARIABLE

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_TIMERSLACK = 29
_PR_SET_CHILD_SUBREAPER = 36

_ARG_START, _ARG_END = 45, 46
"""Fields of ``/proc/self/stat``, counted behind the program's name: where its command line lies in memory."""

_M_TRIM_THRESHOLD = -1
_TRIM_ABOVE = 65536
"""Bytes of freed memory that a worker keeps at most at the top of its heap."""

_LATE_AT_MOST = 1
"""Nanoseconds that the kernel may make a timer late to wake others with it; it takes 50,000 if nobody says."""

_OOM_SCORE = 300
"""Under a memory shortage the kernel is to take a worker, not what would start it again."""

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_main_modules: list[types.ModuleType] = []


def die_with(parent: int) -> None:
    """Have the kernel kill this process as soon as its parent is dead, even while it holds the GIL."""
    if _libc is None:
        return
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was quicker
        os._exit(1)


def adopt_orphans() -> None:
    """Have descendants whose parents die become children of this process."""
    if _libc is not None:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int | bytes) -> None:
    assert _libc is not None
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def name_process(short: str, title: str) -> None:
    """Have ``ps`` and ``top`` say what this process is, and not what it was forked from. Linux only.

    Args:
        short: of at most 15 characters.
        title: takes the place of the command line, as far as there is room.
    """
    if _libc is None:
        return
    _prctl(_PR_SET_NAME, short[:15].encode())
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    if 0 < start < end:  # zeros: the kernel does not say
        room = end - start
        ctypes.memmove(start, title.encode()[: room - 1].ljust(room, b"\0"), room)


def set_up(name: str, mark: str) -> None:
    """Make a forked child a process of its own."""
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    os.environ[MARK_VARIABLE] = mark
    name_process(f"nbc {name}", f"nbcluster worker {name}")
    if sys.platform == "linux":
        _be_first_when_memory_is_short()
        _give_memory_back()
        _be_on_time()
    use_text_streams()
    records.log_to_stderr()
    reseed()


def _give_memory_back() -> None:
    """Have the C library return freed memory to the system, unless the user has told it what to do."""
    told = any(name.startswith("MALLOC_") for name in os.environ)
    if _libc is not None and not told and hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_ABOVE)


def _be_on_time() -> None:
    """Have tasks that sleep, or wait with a time-out, go on when they said: the threads made from now on."""
    if _libc is not None:
        _libc.prctl(_PR_SET_TIMERSLACK, _LATE_AT_MOST, 0, 0, 0)  # where it is refused, timers are as they were


def _be_first_when_memory_is_short() -> None:
    with open("/proc/self/oom_score_adj", "r+") as file:
        score = min(1000, int(file.read()) + _OOM_SCORE)
        file.seek(0)
        file.write(str(score))


def use_text_streams() -> None:
    """Lines leave at their end: stdout and stderr are pipes to the log, and somebody may be watching it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    faulthandler.enable(sys.stderr)


def reseed() -> None:
    """Or all workers would draw the same random numbers."""
    random.seed()
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def run_worker(module: str, config: bytes, token: bytes) -> NoReturn:
    """Run the worker until it ends, and end the process."""
    # The program that was started is none of the tasks' business, nor of what they start: multiprocessing
    # would import it again in every child.
    _main_modules.append(sys.modules["__main__"])
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = ["nbcluster-worker"]
    worker = importlib.import_module(module)
    lean.run(worker.run, msgspec.msgpack.decode(config, type=worker.WorkerConfig), token)
