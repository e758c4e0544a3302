"""A stand-in for ``nbcluster.worker.main``: does what its configuration says, so that tests can have a worker
print, fork, crash or hang."""

from __future__ import annotations

import json
import os
import random
import sys
import time

import msgspec

from nbcluster.store.flight_recorder import WORKER_FD, FlightRecorder


class WorkerConfig(msgspec.Struct):
    script: str
    """Python to run, with ``token`` and ``recorder`` in scope."""


def run(config: WorkerConfig, token: bytes) -> int:
    scope = {
        "json": json,
        "os": os,
        "random": random,
        "recorder": FlightRecorder.open(WORKER_FD),
        "sys": sys,
        "time": time,
        "token": token,
    }
    exec(config.script, scope)
    return 0


def configure(script: str) -> bytes:
    return msgspec.msgpack.encode(WorkerConfig(script))
