"""A cluster in a process of its own: ``python -m nbcluster.cluster.process``.

    parent ── stdin: the spec, then silence ──▶ this process
           ◀── stdout: "ready" or why not ─────

The parent keeps stdin open as long as it lives: when it ends, however it ends, so does this process, at once, and the
zygote then ends whatever is left of the workers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import sys
from typing import Any, BinaryIO

import msgspec

from nbcluster.cluster.handover import Failed, Ready, read_body, write_record
from nbcluster.cluster.runtime import ClusterRuntime
from nbcluster.cluster.spec import ClusterSpec, make_spec
from nbcluster.comm.loop import new_event_loop
from nbcluster.engines.registry import EngineSpec
from nbcluster.supervisor import parent

logger = logging.getLogger("nbcluster.cluster")

_CLOSE_TIMEOUT = 8.0


def main() -> int:
    """Run a cluster until it is closed, or its parent is gone."""
    order = msgspec.msgpack.decode(read_body(sys.stdin.buffer), type=ClusterSpec | EngineSpec)
    report = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what others print must not look like our report
    sys.path[:] = order.sys_path or sys.path
    try:
        spec = order if isinstance(order, ClusterSpec) else spec_of(order)
    except (TypeError, ValueError) as error:
        write_record(report, Failed(type(error).__name__, str(error)))
        return 1
    logging.basicConfig(level=spec.log_level or logging.WARNING, format="%(name)s - %(levelname)s - %(message)s")
    loop = new_event_loop()
    try:
        return loop.run_until_complete(_run(spec, report))
    finally:
        loop.close()


def spec_of(order: EngineSpec) -> ClusterSpec:
    """Open the keywords that somebody passed on: this process runs as their user, in their interpreter."""
    keywords: dict[str, Any] = dict(order.keywords)
    if order.pickled_keywords:
        keywords |= pickle.loads(order.pickled_keywords)
    # Who passed the order on shows the dashboard itself, from its socket: a port is only for those who ask for one.
    keywords.setdefault("dashboard_address", None)
    spec = make_spec(**{**keywords, "name": order.name})
    most = order.max_workers
    if most is not None and spec.n_workers > most:
        if keywords.get("n_workers") is not None:
            raise ValueError(f"n_workers={spec.n_workers} is more than the administrator allows: {most}")
        spec = msgspec.structs.replace(spec, n_workers=most)
    return msgspec.structs.replace(spec, id=order.id, max_workers=most)


async def _run(spec: ClusterSpec, report: BinaryIO) -> int:
    loop = asyncio.get_running_loop()
    runtime = ClusterRuntime(spec)
    loop.add_reader(sys.stdin.fileno(), _parent_is_gone)
    watched = parent.watch(os.getppid())
    if watched is not None:
        loop.add_reader(watched, os._exit, 0)
    ask_to_close = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ask_to_close.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is for the parent
    try:
        await runtime.start()
    except Exception as error:
        write_record(report, Failed(type(error).__name__, str(error)))
        return 1
    write_record(
        report,
        Ready(runtime.address, runtime.private_address, runtime.token, str(runtime.dashboard.socket_path)),
    )
    report.close()
    asked = asyncio.ensure_future(ask_to_close.wait())
    closed = asyncio.ensure_future(runtime.closed.wait())
    await asyncio.wait((asked, closed), return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    await runtime.close("it was asked to end (SIGTERM)")
    await closed
    return 0


def _parent_is_gone() -> None:
    """Nobody is left to close in good order for. Workers and their children are ended by the zygote."""
    if not os.read(sys.stdin.fileno(), 1):
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
