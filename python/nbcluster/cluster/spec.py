"""What a cluster is made from: the keywords of ``LocalCluster``, checked, as one record that can travel."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import uuid
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from nbcluster import surroundings
from nbcluster.arguments import MOST, check_path, check_resources, check_text, check_whole
from nbcluster.capacity import cpu_count
from nbcluster.cluster.fractions import MemoryFractions, memory_fractions
from nbcluster.cluster.keywords import (
    NOT_HERE,
    SchedulerOptions,
    WorkerOptions,
    check_environment,
    duration,
    processes_of,
    scheduler_options,
    unknown,
    worker_options,
)
from nbcluster.cluster.nesting import next_level
from nbcluster.cluster.network import LOOPBACK, check_alone, interface_address
from nbcluster.cluster.sizing import MemoryLimit, Size, check_memory_limit, choose_size
from nbcluster.comm.security import Security, security_of_cluster
from nbcluster.commands import MOST_WORKERS
from nbcluster.engines.registry import EngineSpec
from nbcluster.protocol.tls import TlsIdentities
from nbcluster.scheduler.handlers import check_handlers
from nbcluster.supervisor.interpreter import Interpreter


class Default(str):
    """A default that can be told from the same text given by somebody."""

    __slots__ = ()


DEFAULT_DASHBOARD = Default(":8787")
PROTOCOLS = ("tcp", "tls", "inproc")


class ClusterSpec(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A cluster to be: everything resolved, nothing left to guess."""

    id: str
    name: str
    kind: str = "nbcluster.LocalCluster"
    """The class that it was made by."""
    n_workers: int
    threads_per_worker: int
    max_workers: int | None = None
    """What an administrator allows, whoever asks for more."""
    processes: bool = True
    memory_limit: MemoryLimit = "auto"
    memory: MemoryFractions = MemoryFractions()
    host: str = "127.0.0.1"
    scheduler_port: int = 0
    protocol: str = "tcp"
    dashboard_address: list[str] | None = msgspec.field(default_factory=lambda: [str(DEFAULT_DASHBOARD)])
    dashboard_prefix: str = ""
    resources: dict[str, float] = {}
    local_directory: str | None = None
    level: int = 1
    """How deep it is nested: 1, unless it is started in a task of another cluster."""
    tls: TlsIdentities | None = None
    """With what connections are encrypted."""
    token_file: str | None = None
    """Where the cluster's secret is, if it was agreed upon before."""
    blocked_handlers: list[str] = []
    """What clients may not ask of the scheduler."""
    scheduler: SchedulerOptions = SchedulerOptions()
    workers: WorkerOptions = WorkerOptions()
    worker_dashboard_address: list[str] | None = None
    guests: bool = False
    """Workers join from elsewhere: they are not in the scheduler's process."""
    sync_interval: float = 1.0
    """How often the cluster introduces itself in the scheduler's metadata, and tells whoever holds it from another
    process how it is; seconds."""
    log_level: int | None = logging.WARNING
    """From which level on records go to this process's stderr; None leaves logging alone."""
    executable: str = msgspec.field(default_factory=lambda: sys.executable)
    cwd: str = msgspec.field(default_factory=os.getcwd)
    sys_path: list[str] = msgspec.field(default_factory=lambda: [path or os.getcwd() for path in sys.path])
    environment: dict[str, str] = msgspec.field(default_factory=lambda: dict(os.environ))

    @property
    def in_process(self) -> bool:
        """True if its workers are threads of the process that the scheduler runs in."""
        return not self.processes


def interpreter_of(spec: ClusterSpec | EngineSpec) -> Interpreter:
    """Where the processes of a cluster run."""
    return Interpreter(executable=spec.executable, cwd=spec.cwd, environ=spec.environment, sys_path=spec.sys_path)


def make_spec(
    *,
    name: str | None = None,
    n_workers: int | None = None,
    threads_per_worker: int | None = None,
    processes: bool | None = None,
    start: object = None,
    host: str | None = None,
    ip: str | None = None,
    scheduler_port: int = 0,
    silence_logs: object = logging.WARNING,
    dashboard_address: object = DEFAULT_DASHBOARD,
    worker_dashboard_address: object = None,
    diagnostics_port: object = None,
    service_kwargs: Mapping[str, Any] | None = None,
    security: object = None,
    protocol: str | None = None,
    blocked_handlers: object = None,
    interface: str | None = None,
    worker_class: object = None,
    scheduler_kwargs: Mapping[str, Any] | None = None,
    scheduler_sync_interval: object = 1,
    memory_limit: object = "auto",
    memory_target_fraction: object = 0.6,
    memory_spill_fraction: object = 0.7,
    memory_pause_fraction: object = 0.8,
    memory_terminate_fraction: object = 0.95,
    resources: Mapping[str, float] | None = None,
    local_directory: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    lifetime: object = None,
    lifetime_stagger: object = None,
    lifetime_restart: object = False,
    death_timeout: object = None,
    preload: object = None,
    preload_argv: object = None,
    plugins: object = None,
    **others: object,
) -> ClusterSpec:
    """Check the keywords of ``LocalCluster`` and fill in the defaults.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
    """
    _check_others(others)
    options = scheduler_options(scheduler_kwargs)
    host, dashboard_address = _by_their_names(start, ip, host, diagnostics_port, dashboard_address)
    use_processes, size = _crew(worker_class, processes, n_workers, threads_per_worker)
    security = security_of_cluster(security)
    host, protocol = _where(host, interface, protocol, use_processes, scheduler_port, security)
    contact = options.contact_address
    if contact is not None and not contact.startswith(f"{protocol}://"):
        raise ValueError(f"contact_address={contact!r} does not go with a scheduler that listens at {protocol}://")
    return ClusterSpec(
        id=uuid.uuid4().hex[:16],
        name=uuid.uuid4().hex[:8] if name is None else check_text("name", name),
        n_workers=size.n_workers,
        threads_per_worker=size.threads_per_worker,
        processes=use_processes,
        memory_limit=check_memory_limit(memory_limit),
        memory=memory_fractions(
            memory_target_fraction, memory_spill_fraction, memory_pause_fraction, memory_terminate_fraction
        ),
        host=host,
        scheduler_port=_port(scheduler_port),
        protocol=protocol,
        dashboard_address=check_addresses(dashboard_address) if options.dashboard else None,
        dashboard_prefix=_prefix(service_kwargs) if options.http_prefix is None else options.http_prefix,
        resources=check_resources(resources),
        local_directory=None if local_directory is None else check_path("local_directory", local_directory),
        tls=security.identities() if security is not None and protocol == "tls" else None,
        token_file=None if security is None or security.token_file is None else os.path.abspath(security.token_file),
        blocked_handlers=check_handlers(blocked_handlers),
        scheduler=options,
        workers=worker_options(
            lifetime, lifetime_stagger, lifetime_restart, death_timeout, preload, preload_argv, plugins
        ),
        worker_dashboard_address=check_addresses(worker_dashboard_address, "worker_dashboard_address"),
        sync_interval=_sync_interval(scheduler_sync_interval),
        log_level=check_level(silence_logs),
        environment={**surroundings.environment(), **check_environment(env)},
        level=next_level(),
    )


_NOT_FOR_SPECS = ("self", "loop", "asynchronous", "worker_kwargs", "kwargs")


def given(init: Callable[..., None], values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords that somebody gave to a cluster class, for ``make_spec``: what is a default is left out.

    Args:
        init: the class's ``__init__``.
        values: its local variables, before it has any but its arguments.
        others: its keywords without a name.
    """
    named = {
        name: values[name]
        for name, parameter in inspect.signature(init).parameters.items()
        if name not in _NOT_FOR_SPECS and values[name] is not parameter.default
    }
    return {**named, **others}


def with_worker_kwargs(worker_kwargs: object, others: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords for workers, given as a dictionary or among the others."""
    if worker_kwargs is None:
        return dict(others)
    if not isinstance(worker_kwargs, Mapping):
        raise TypeError(f"worker_kwargs={worker_kwargs!r} is not a dict of keywords for workers")
    return {**others, **worker_kwargs}


def _check_others(others: Mapping[str, object]) -> None:
    for name, value in others.items():
        if name in NOT_HERE:
            if value is not None and value != {}:
                raise TypeError(f"{name}={value!r} has no meaning here: {NOT_HERE[name]}")
            continue
        known = [k for k in (make_spec.__kwdefaults__ or {}) if k not in ("ip", "start", "diagnostics_port")]
        raise unknown("a cluster", name, known)


def _by_their_names(
    start: object, ip: str | None, host: str | None, diagnostics_port: object, dashboard_address: object
) -> tuple[str | None, object]:
    """The host and the dashboard's address, even if they were given by the names that they once had."""
    if start is not None:
        warnings.warn("start= has no effect and will go; leave it out", DeprecationWarning, stacklevel=4)
    if ip is not None:
        warnings.warn("ip= is now called host=", DeprecationWarning, stacklevel=4)
        host = host or check_text("ip", ip)
    if diagnostics_port is not None:
        warnings.warn("diagnostics_port= is now called dashboard_address=", DeprecationWarning, stacklevel=4)
        check_addresses(diagnostics_port, "diagnostics_port")
        dashboard_address = diagnostics_port
    return host, dashboard_address


def _crew(
    worker_class: object, processes: object, n_workers: int | None, threads_per_worker: int | None
) -> tuple[bool, Size]:
    """Whether workers are processes, how many, and of how many threads."""
    if processes is not None and not isinstance(processes, bool):
        raise TypeError(f"processes={processes!r} is neither True (processes) nor False (threads)")
    if n_workers is not None:
        n_workers = check_whole("n_workers", n_workers, least=0, most=MOST_WORKERS)
    if threads_per_worker is not None:
        threads_per_worker = check_whole("threads_per_worker", threads_per_worker, least=1, most=MOST_WORKERS)
    use_processes = processes_of(worker_class, processes)
    return use_processes, choose_size(cpu_count(), use_processes, n_workers, threads_per_worker)


def _where(
    host: str | None,
    interface: str | None,
    protocol: str | None,
    processes: bool,
    scheduler_port: int,
    security: Security | None,
) -> tuple[str, str]:
    """The host that the scheduler listens at, and the protocol that it speaks there."""
    for name, value in (("host", host), ("interface", interface), ("protocol", protocol)):
        if value is not None:
            check_text(name, value)
    if host and "://" in host:
        scheme, _, host = host.partition("://")
        protocol = protocol or scheme
    if interface is not None:
        host = interface_address(interface)
    must_encrypt = security is not None and security.require_encryption
    if protocol is None and must_encrypt:
        protocol = "tls"
    elif protocol is None:
        protocol = "inproc" if not processes and not scheduler_port and host is None else "tcp"
    protocol = protocol.removesuffix("://")
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol={protocol!r} is not available; there are {', '.join(PROTOCOLS)}")
    if protocol == "inproc" and processes:
        raise ValueError("protocol='inproc' needs processes=False: worker processes cannot be reached by it")
    if host is None:
        host = LOOPBACK
    elif protocol == "tcp":
        check_alone(host)
    if protocol == "tls" and security is None:
        raise ValueError("protocol='tls' needs credentials; give security=True or a Security object")
    if protocol == "tcp" and must_encrypt:
        raise ValueError("protocol='tcp' does not encrypt, as security= demands; leave it out, or give 'tls'")
    return host, protocol


def _sync_interval(value: object) -> float:
    seconds = duration("scheduler_sync_interval", value)
    if seconds is None:
        raise ValueError(f"scheduler_sync_interval={value!r} is out of range; give a number of seconds above 0")
    return seconds


def _port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 65536:
        raise ValueError(f"scheduler_port={value!r} is not a port; give 0 (any) to 65535, e.g. 8786")
    return value


def check_addresses(value: object, name: str = "dashboard_address") -> list[str] | None:
    """Accept where a dashboard may listen. Raises an error that says what is allowed."""
    if value is None:
        return None
    values = value if isinstance(value, (list, tuple)) else value.split(",") if isinstance(value, str) else [value]
    if not all(isinstance(one, (str, int)) and not isinstance(one, bool) for one in values):
        raise TypeError(f"{name}={value!r} is not an address; give ':8787', ':0', a port, or None")
    texts = [f":{one}" if isinstance(one, int) else check_text(name, one) for one in values]
    for text in texts:
        port = text.strip().rpartition(":")[2] if ":" in text else ""
        if (port and not (port.isdecimal() and int(port) < 65536)) or "\0" in text:
            raise ValueError(f"{name}={value!r} is not an address; give ':8787', ':0', a port, or None")
    return texts


def _prefix(service_kwargs: Mapping[str, Any] | None) -> str:
    if service_kwargs is None:
        return ""
    wanted = f"service_kwargs={service_kwargs!r} is not understood; give {{'dashboard': {{'prefix': '/foo'}}}}"
    if not isinstance(service_kwargs, Mapping):
        raise TypeError(wanted)
    options = service_kwargs.get("dashboard") or {}
    if not isinstance(options, Mapping):
        raise TypeError(wanted)
    if set(service_kwargs) - {"dashboard"} or set(options) - {"prefix"}:
        raise ValueError(wanted)
    prefix = options.get("prefix", "")
    if not isinstance(prefix, str):
        raise TypeError(wanted)
    return check_text("service_kwargs", prefix)


def check_level(silence_logs: object) -> int | None:
    """Accept a logging level. Raises an error that says what is allowed."""
    if silence_logs is None or silence_logs is False:
        return None
    if silence_logs is True:
        return logging.WARNING
    if isinstance(silence_logs, str):
        level = logging.getLevelName(silence_logs.upper())
        if isinstance(level, int):
            return level
    elif isinstance(silence_logs, int) and abs(silence_logs) <= MOST:
        return silence_logs or None
    raise ValueError(f"silence_logs={silence_logs!r} is not a logging level; give e.g. logging.ERROR, or None")
