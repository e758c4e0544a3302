"""A worker that has a process to itself: composition root, called in the process that is to become it.

Whoever starts it has prepared the process (interpreter, directory, environment, output pipes, the descriptor of
the flight recorder) and hands over the configuration and, in memory, the token.
"""

from __future__ import annotations

import logging
import signal
import sys

from nbcluster.comm.loop import new_event_loop
from nbcluster.comm.signals import heeded
from nbcluster.errors import CommError, TimeoutError
from nbcluster.in_task import WorkerClients, serve_dask_in_tasks
from nbcluster.store.flight_recorder import WORKER_FD, FlightRecorder
from nbcluster.worker import context
from nbcluster.worker.config import WorkerConfig as WorkerConfig
from nbcluster.worker.server import WorkerServer

logger = logging.getLogger("nbcluster.worker")

_FAULTS = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"}
"""Signals whose handler, ``faulthandler``'s, takes its time."""


def run(config: WorkerConfig, token: bytes) -> int:
    """Be a worker until the scheduler lets go, is gone, or SIGTERM arrives.

    Returns:
        0, or 1 if the scheduler could not be reached.
    """
    # A Ctrl-C in the terminal is meant for the user's program. A handler, and not SIG_IGN: that would be
    # inherited by the programs that tasks start.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    if config.log_level is not None:
        logging.getLogger("nbcluster").setLevel(config.log_level)
    loop = new_event_loop()
    try:
        return loop.run_until_complete(_run(config, token))
    finally:
        loop.close()


async def _run(config: WorkerConfig, token: bytes) -> int:
    recorder = FlightRecorder.open(WORKER_FD)
    worker = WorkerServer(config, token, recorder=recorder, capture_output=True, clients=WorkerClients())
    context.own_process(worker.current)
    serve_dask_in_tasks()
    stop = {} if sys.platform == "win32" else {signal.SIGTERM: lambda: worker.stop("SIGTERM")}
    with heeded(stop):
        return await _live(worker, config)


async def _live(worker: WorkerServer, config: WorkerConfig) -> int:
    try:
        await worker.start()
    except (CommError, OSError, TimeoutError) as error:
        said = str(error) or f"it was not ready within {config.start_timeout:g} s (death_timeout)"
        logger.error("Worker %s cannot join its cluster: %s", config.name, said)
        return 1
    if worker.threads_tell:
        # One that a task sends to its own process is then handled in the task's thread, for nobody else takes it: the
        # thread cannot go on meanwhile, and tell of a result.
        signal.pthread_sigmask(signal.SIG_BLOCK, {getattr(signal, name) for name in _FAULTS})
    try:
        reason = await worker.finished()
        logger.info("Worker %s ends: %s", config.name, reason)
    finally:
        await worker.close()
    return 0
