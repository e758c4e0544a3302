"""A cluster in a process of its own: the module ``nbcluster.cluster.process``.

    parent ── stdin: the spec, then silence ──▶ this process ── forks, first of all ──▶ zygote ──▶ workers
           ◀── stdout: "ready" or why not ─────

The parent keeps stdin open as long as it lives: when it ends, however it ends, so does this process, at once, and the
zygote then ends whatever is left of the workers.

The zygote is forked when there is no thread, no event loop and no link yet, and nothing of the user's was imported.
What both need is imported before that, once; the rest of a worker and the rest of a cluster then at the same time.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import pickle
import signal
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from nbcluster import lean
from nbcluster.cluster.handover import Failed, Ready, read_body, write_record
from nbcluster.cluster.spec import ClusterSpec, interpreter_of, make_spec
from nbcluster.comm.loop import new_event_loop
from nbcluster.comm.signals import heeded
from nbcluster.engines.registry import EngineSpec
from nbcluster.supervisor import launching, parent
from nbcluster.supervisor.launching import Launched

if TYPE_CHECKING:
    from nbcluster.cluster.runtime import ClusterRuntime

logger = logging.getLogger("nbcluster.cluster")

_IN_COMMON = (
    "nbcluster.comm.descriptors",
    "nbcluster.comm.loan",
    "nbcluster.comm.peers",
    "nbcluster.comm.sampling",
    "nbcluster.comm.serving",
    "nbcluster.protocol.exceptions",
    "nbcluster.protocol.serialize",
    "nbcluster.store.shared",
    *(["nbcluster.supervisor.zygote"] if launching.AVAILABLE else []),
    *([] if sys.platform == "win32" else ["uvloop"]),
)
"""What the largest parts of a cluster and of a worker consist of."""


def main() -> int:
    """Run a cluster until it is closed, or its parent is gone."""
    order = msgspec.msgpack.decode(read_body(sys.stdin.buffer), type=ClusterSpec | EngineSpec)
    interpreter = interpreter_of(order)
    zygote = _fork_zygote(order)
    report = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what others print must not look like our report
    runtime = importlib.import_module("nbcluster.cluster.runtime")  # before files beside a notebook can hide modules
    lean.ready()
    try:
        interpreter.enter()
        environ = dict(os.environ)
        spec = order if isinstance(order, ClusterSpec) else spec_of(order)
    except OSError as error:
        write_record(report, Failed("ClusterError", f"nothing can run in {order.cwd}: {error}"))
        return 1
    except (TypeError, ValueError) as error:
        write_record(report, Failed(type(error).__name__, str(error)))
        return 1
    if zygote is not None and (spec.in_process or (spec is not order and spec.environment != environ)):
        zygote.abandon()
        zygote = None
    logging.basicConfig(level=spec.log_level or logging.WARNING, format="%(name)s - %(levelname)s - %(message)s")
    loop = new_event_loop()
    try:
        return loop.run_until_complete(_run(runtime.ClusterRuntime(spec, zygote), report))
    finally:
        loop.close()


def _fork_zygote(order: ClusterSpec | EngineSpec) -> Launched | None:
    """Where forking is safe, this is when."""
    for module in _IN_COMMON:
        importlib.import_module(module)
    if not launching.can_fork():
        return None
    zygote = launching.fork()
    zygote.prepare(interpreter_of(order))
    return zygote


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


async def _run(runtime: ClusterRuntime, report: BinaryIO) -> int:
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), _parent_is_gone)
    watched = parent.watch(os.getppid())
    if watched is not None:
        loop.add_reader(watched, os._exit, 0)
    ask_to_close = asyncio.Event()
    with heeded({signal.SIGTERM: ask_to_close.set, signal.SIGINT: lambda: None}):  # Ctrl-C is for the parent
        return await _serve(runtime, report, ask_to_close)


async def _serve(runtime: ClusterRuntime, report: BinaryIO, ask_to_close: asyncio.Event) -> int:
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
