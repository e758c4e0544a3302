"""``nbcluster.supervisor.plain_worker FD PARENT``: one worker, where forking is not safe (macOS).

What it needs to know comes over its standard input, for the token is in it. That input then stays open: its
end is the end of the supervisor, and of this process.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import struct
import threading
from typing import BinaryIO

import msgspec

from nbcluster import lean
from nbcluster.store.flight_recorder import WORKER_FD
from nbcluster.supervisor import worker_process
from nbcluster.supervisor.interpreter import Interpreter

_LENGTH = struct.Struct(">I")


class Start(msgspec.Struct, frozen=True):
    """What the supervisor writes first."""

    interpreter: Interpreter
    worker: str
    name: str
    mark: str
    config: bytes
    token: bytes


def encode(start: Start) -> bytes:
    """The message: four bytes of length, then msgpack."""
    body = msgspec.msgpack.encode(start)
    return _LENGTH.pack(len(body)) + body


def _read(stream: BinaryIO) -> Start:
    (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
    return msgspec.msgpack.decode(stream.read(length), type=Start)


def _end_with(stream: BinaryIO) -> None:
    stream.read()
    os._exit(1)


def main(recorder_fd: str, parent: str) -> None:
    """Be a worker."""
    recorder = int(recorder_fd)
    worker_process.die_with(int(parent))
    stdin = os.fdopen(fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, WORKER_FD + 1), "rb")
    start = _read(stdin)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    if recorder != WORKER_FD:
        os.dup2(recorder, WORKER_FD, inheritable=False)
        os.close(recorder)
    os.set_inheritable(WORKER_FD, False)
    threading.Thread(target=_end_with, args=(stdin,), daemon=True, name="parent-watch").start()
    importlib.import_module(start.worker)  # before files beside a notebook can hide modules
    lean.ready()
    start.interpreter.enter()
    worker_process.set_up(start.name, start.mark)
    worker_process.run_worker(start.worker, start.config, start.token)
