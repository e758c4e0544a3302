"""What a worker is told at its start. The cluster's token is not in it: it is passed beside it, in memory."""

from __future__ import annotations

import msgspec

from nbcluster.protocol.tls import TlsIdentity
from nbcluster.types import Address, WorkerName

CONNECT_TIMEOUT = 30.0
MEMORY_TARGET = 0.6
"""Share of a worker's memory limit that results may take."""


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything but the token; travels as msgpack to the process that becomes the worker."""

    scheduler: Address
    name: WorkerName
    listen: Address
    """Where to serve data: ``unix:///…/w0.sock``, ``tcp://127.0.0.1:0``."""
    ports: list[int] = []
    """Of these the first that is free, instead of that of ``listen``."""
    contact: Address = ""
    """Where its peers reach it, if it is not where it listens; port 0 is the one at which it listens."""
    shared: str = ""
    """The socket through which the cluster's shared memory is reached; empty if there is none."""
    nthreads: int = 1
    memory_limit: int | None = None
    """Bytes."""
    memory_target: float | None = MEMORY_TARGET
    """Share of ``memory_limit`` above which the coldest results go to disk; None: they never do."""
    memory_spill: float | None = None
    """The same, for all that the process uses, not results alone."""
    memory_pause: float | None = None
    """Share of ``memory_limit`` above which the worker wants no more tasks; None: it always does."""
    resources: dict[str, float] = {}
    tls: TlsIdentity | None = None
    """For ``tls://`` addresses."""
    local_directory: str = ""
    """For files of its own; inside the cluster's directory."""
    preload: list[str] = []
    """Code to run before it joins."""
    preload_argv: list[str] = []
    plugins: bytes = b""
    """Pickled names and plugins, to be set up before it joins."""
    level: int = 1
    """How deep its cluster is nested: 1, unless it was started in a task of another."""
    connect_timeout: float = CONNECT_TIMEOUT
    """Seconds within which the scheduler must answer."""
    start_timeout: float | None = None
    """Seconds within which it must have joined, with all that it does before; None: it may take its time."""
    log_level: int | None = None
    """Records of ours below it are not written; None: those of less than INFO are not."""
    metrics_interval: float = 1.0
