"""What ``Worker`` and ``Nanny`` have in common: how they come into a cluster that runs, and go.

scheduler_file, address ──▶ entry, awaited ──▶ name taken ──▶ the worker, however it is run ──▶ it has joined
▲                                     │
└─ lifetime over: let go ◀────────────┘
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from nbcluster import capacity
from nbcluster.arguments import check_optional_flag, check_path, check_resources, check_text, check_whole
from nbcluster.cluster.keywords import (
    check_contact,
    check_file,
    check_lifetime,
    check_plugins,
    duration,
    unknown,
)
from nbcluster.cluster.lifetimes import Lifetimes
from nbcluster.cluster.membership import Entry, Lookout, Place, find_entry, new_name
from nbcluster.cluster.network import interface_address, parse_ports
from nbcluster.cluster.scratch import Scratch
from nbcluster.cluster.server import Server
from nbcluster.cluster.silence import silence
from nbcluster.cluster.sizing import check_memory_limit, memory_per_worker
from nbcluster.cluster.spec import PROTOCOLS, check_addresses, check_level
from nbcluster.comm import scheduler_file as scheduler_files
from nbcluster.comm.security import Security, security_of_client
from nbcluster.comm.tasks import TaskOwner
from nbcluster.commands import MOST_WORKERS
from nbcluster.dashboard.activation import DashboardActivator
from nbcluster.deadlines import within
from nbcluster.errors import CommError, HandshakeError, TimeoutError
from nbcluster.preloading import check_preload
from nbcluster.protocol.joining import Dismissed, ToHost
from nbcluster.types import Address, Status, WorkerName
from nbcluster.worker.config import MEMORY_TARGET, WorkerConfig

START_TIMEOUT = 60.0
"""Seconds that a worker has for joining a scheduler that is there."""

_LOOK = 0.02
_ATTEMPT = 30.0
"""Seconds after which a scheduler that does not answer is looked for anew."""

T = TypeVar("T")

logger = logging.getLogger("nbcluster.worker")


class Member(Server):
    """A worker from outside, however it is run."""

    supervised = False
    """Whether it tells how its worker's process ended."""

    def __init__(
        self,
        address: Address | None = None,
        *,
        scheduler_file: str | os.PathLike[str] | None = None,
        nthreads: int | None = None,
        name: WorkerName | None = None,
        memory_limit: int | float | str | None = "auto",
        resources: Mapping[str, float] | None = None,
        local_directory: str | Path | None = None,
        silence_logs: int | str | bool | None = None,
        security: Security | dict[str, Any] | bool | None = None,
        host: str | None = None,
        interface: str | None = None,
        port: Any = None,
        protocol: str | None = None,
        contact_address: Address | None = None,
        dashboard_address: Any = None,
        http_prefix: str = "/",
        death_timeout: float | str | None = None,
        preload: str | list[str] | None = None,
        preload_argv: str | list[str] | None = None,
        plugins: Any = (),
        lifetime: float | str | None = None,
        lifetime_stagger: float | str | None = None,
        lifetime_restart: bool | None = None,
        **others: object,
    ) -> None:
        super().__init__()
        for other in others:
            raise unknown(type(self).__name__, other, Member.__init__.__kwdefaults__ or {})
        self._scheduler_file = check_file("scheduler_file", scheduler_file)
        if (address is None) == (self._scheduler_file is None):
            raise TypeError(f"address={address!r} and scheduler_file={scheduler_file!r}: give one of them")
        if address is not None and not isinstance(address, str):
            raise TypeError(f"address={address!r} is not a scheduler's address like 'tcp://127.0.0.1:8786'")
        if isinstance(name, str):
            check_text("name", name)
        elif name is not None:
            check_whole("name", name)
        if name is not None and (isinstance(name, bool) or not isinstance(name, (int, str))):
            raise TypeError(f"name={name!r} is neither a string nor a whole number")
        cpus = capacity.cpu_count()
        self.nthreads = cpus if nthreads is None else check_whole("nthreads", nthreads, least=1, most=MOST_WORKERS)
        self.name: WorkerName = new_name() if name is None else name
        limit = check_memory_limit(memory_limit)
        total = int(capacity.memory().value)
        self.memory_limit = (
            int(total * min(1.0, self.nthreads / cpus)) if limit == "auto" else memory_per_worker(limit, total, 1)
        )
        self.resources = check_resources(resources)
        self.scheduler_address = address or ""
        self.security = security_of_client(security)
        self._log_level = check_level(silence_logs)
        self._place = _place(host, interface, port, protocol, contact_address)
        self._local_directory = None if local_directory is None else check_path("local_directory", local_directory)
        self._dashboard_address = check_addresses(dashboard_address)
        self._http_prefix = check_text("http_prefix", http_prefix)
        self._dashboard: DashboardActivator | None = None
        self._timeout = duration("death_timeout", death_timeout)
        self._preload = check_preload("preload", preload)
        self._preload_argv = check_preload("preload_argv", preload_argv)
        self._plugins = check_plugins(plugins, "worker")
        self._lifetime = check_lifetime(lifetime, lifetime_stagger, lifetime_restart)
        self._is_over = self._renewing = False
        """Whether its worker goes because its time is over, and whether another is to follow."""
        self._shared_directory = "" if self._local_directory is None else str(self._local_directory)
        self._obstacle = ""
        """Why it has not joined yet, as the end of a sentence."""
        self._lookout: Lookout
        self._lifetimes: Lifetimes
        self._tasks = TaskOwner(f"{type(self).__name__} {self.name}")

    def __repr__(self) -> str:
        where = f"for the scheduler {self.scheduler_address or self._scheduler_file!r}"
        return f"<{type(self).__name__} {where}, name: {self.name}, status: {self.status}, threads: {self.nthreads}>"

    @property
    def dashboard_link(self) -> str:
        """The page about the cluster that this worker serves; ``""`` without ``dashboard_address``."""
        return "" if self._dashboard is None else self._dashboard.link

    async def _start(self) -> None:
        self._stack.enter_context(silence(self._log_level))
        began = time.monotonic()
        entry = await self._in_time(self._find_scheduler(), self._timeout)
        left = None if self._timeout is None else max(0.0, began + self._timeout - time.monotonic())
        await self._in_time(self._join(entry), START_TIMEOUT if left is None else left)

    async def _in_time(self, part: Coroutine[Any, Any, T], timeout: float | None) -> T:
        try:
            return await within(part, timeout)
        except TimeoutError:
            raise TimeoutError(
                f"{self!r} did not join within {self._timeout or START_TIMEOUT:g} s, and death_timeout= gives it "
                f"longer{self._obstacle}"
            ) from None

    async def _find_scheduler(self) -> Entry:
        """How to get in, once there is a scheduler; it may be about to start."""
        if self._scheduler_file is not None:
            if scheduler_files.read(self._scheduler_file) is None:
                self._hindered(f"there is no scheduler_file={self._scheduler_file!r} yet")
            self.scheduler_address = await _address_in(self._scheduler_file)
        while True:
            entry = await self._find_entry()
            try:
                self._lookout = await Lookout.open(entry, _ATTEMPT, self._told)
                break
            except HandshakeError:
                if (await self._find_entry()).token == entry.token:
                    raise  # else it has begun anew there, with another secret
            except (CommError, TimeoutError) as error:
                if entry.scheduler.startswith("inproc://"):
                    raise  # no other has that address
                self._hindered(str(error) or f"{entry.scheduler} does not answer")
        self._obstacle = ""
        self._stack.push_async_callback(self._lookout.close)
        return entry

    async def _find_entry(self) -> Entry:
        return await find_entry(self.scheduler_address, self.security, self._place, lambda e: self._hindered(str(e)))

    def _hindered(self, obstacle: str) -> None:
        """Note why it has not joined yet, and log the first such reason."""
        if not self._obstacle:
            logger.warning("%s waits for its scheduler: %s", self, obstacle)
        self._obstacle = f": {obstacle}"

    @abstractmethod
    async def _join(self, entry: Entry) -> None:
        """Join, by ``_enter`` and ``_joined``."""

    async def _enter(self, entry: Entry) -> tuple[WorkerConfig, bytes]:
        """Take the name. Returns what the worker is to be told, and the cluster's token."""
        timeout = self._timeout or START_TIMEOUT
        in_process = not self.supervised and entry.scheduler.startswith("inproc://")
        await self._lookout.take(self.name, supervised=self.supervised, in_process=in_process)
        scratch = await asyncio.to_thread(Scratch, self._local_directory)
        self._stack.callback(scratch.remove)
        self._shared_directory = str(scratch.path)
        self._lifetimes = Lifetimes(self._lifetime, lambda name: self._time_is_over())
        self._stack.callback(self._lifetimes.close)
        await self._open_dashboard(entry)
        config = WorkerConfig(
            scheduler=entry.scheduler,
            name=self.name,
            listen=entry.listen,
            ports=self._place.ports,
            contact=entry.contact,
            nthreads=self.nthreads,
            memory_limit=self.memory_limit,
            memory_target=MEMORY_TARGET if scratch.on_disk else None,
            resources=self.resources,
            tls=entry.tls,
            preload=self._preload,
            preload_argv=self._preload_argv,
            local_directory=self._shared_directory,
            connect_timeout=timeout,
            start_timeout=self._timeout,
            log_level=self._log_level,
        )
        return config, entry.token

    async def _joined(self, pid: Callable[[], int | None], timeout: float | None = None) -> None:
        """Wait until the worker is there, in the process that it is to be in; its time begins."""
        await self._lookout.wait_for(pid, timeout or self._timeout or START_TIMEOUT)
        self._lifetimes.born(self.name)

    async def _open_dashboard(self, entry: Entry) -> None:
        if self._dashboard_address is None:
            return
        if not entry.scheduler.startswith("tcp://"):
            raise ValueError(
                f"dashboard_address={self._dashboard_address!r} needs a scheduler at tcp://, not {entry.scheduler}; "
                "the scheduler's own dashboard shows its workers"
            )
        directory = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="nbcluster-"))
        self._dashboard = DashboardActivator(
            self._dashboard_address,
            Path(directory),
            cluster_address=entry.scheduler,
            token=entry.token,
            prefix=self._http_prefix,
        )
        self._stack.push_async_callback(self._dashboard.close)
        await self._dashboard.start()

    def _told(self, message: ToHost) -> None:
        """The cluster decides over the worker."""
        if isinstance(message, Dismissed):
            logger.info("%s ends: %s", self, message.reason)
            self._close_soon()
        elif self.status == Status.RUNNING:
            self._start_afresh()

    @abstractmethod
    def _start_afresh(self) -> None:
        """Have another worker take the place of the one that runs."""

    def _time_is_over(self) -> None:
        assert self._lifetime is not None
        self._goes(renewing=self._lifetime.restart)
        self._tasks.start(self._lookout.let_go(), "go")

    def _goes(self, *, renewing: bool) -> None:
        """The worker is about to be let go, and perhaps another is to follow."""
        self._is_over, self._renewing = True, renewing

    async def close_gracefully(self, *, restart: bool | None = None, reason: str = "") -> None:
        """End it gently: what its worker holds moves to others first, and what it runs comes to its end.

        Args:
            restart: have another worker of its name take its place; this does not wait for that.
            reason: for the log.
        """
        renewing = bool(check_optional_flag("restart", restart))
        if self.status != Status.RUNNING:
            await self.close(reason=reason)
            return
        if check_text("reason", reason):
            logger.info("%s goes: %s", self, reason)
        self._goes(renewing=renewing)
        await self._lookout.let_go()
        if not renewing:
            await self.finished()

    def _close_soon(self) -> None:
        """Close, in no task of its own: that would end with it."""
        if self.status not in (Status.CLOSING, Status.CLOSED):
            self._closing = asyncio.get_running_loop().create_task(self.close())


def _place(host: object, interface: object, port: object, protocol: object, contact: object) -> Place:
    host = None if host is None else check_text("host", host)
    interface = None if interface is None else check_text("interface", interface)
    protocol = None if protocol is None else check_text("protocol", protocol)
    if host is not None and "://" in host:
        scheme, _, host = host.partition("://")
        protocol = protocol or scheme
    if interface is not None:
        host = interface_address(interface)
    if protocol is not None:
        protocol = protocol.removesuffix("://")
        if protocol not in PROTOCOLS:
            raise ValueError(f"protocol={protocol!r} is not available; there are {', '.join(PROTOCOLS)}")
    return Place(host, parse_ports("port", port), protocol, check_contact(contact))


async def _address_in(path: str) -> Address:
    """What a scheduler file says, which somebody may be about to write."""
    while True:
        address = scheduler_files.read(path)
        if address is not None:
            return address
        await asyncio.sleep(_LOOK)
