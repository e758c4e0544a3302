"""``Nanny``: a worker in a process of its own that joins a running cluster, and is started again whenever it ends."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping
from typing import Any, Literal

import cloudpickle  # type: ignore[import-untyped]
import msgspec

from nbcluster.arguments import check_text
from nbcluster.cluster.keywords import check_environment
from nbcluster.cluster.member import Member
from nbcluster.cluster.membership import Entry
from nbcluster.cluster.nanny_plugins import NannyPlugins
from nbcluster.cluster.network import parse_ports
from nbcluster.comm.addresses import TcpAddress, parse
from nbcluster.errors import ClusterError
from nbcluster.plugins.base import NannyPlugin
from nbcluster.preloading import Preloads, check_preload
from nbcluster.supervisor import launching
from nbcluster.supervisor.forking import Zygote
from nbcluster.supervisor.interpreter import Interpreter
from nbcluster.supervisor.logs import LogBook
from nbcluster.supervisor.plain import PlainStarter
from nbcluster.supervisor.process import Starter
from nbcluster.supervisor.supervisor import GRACE, Supervisor, WorkerSpec
from nbcluster.types import Address, RunId, Status, WorkerName
from nbcluster.units import parse_seconds

logger = logging.getLogger("nbcluster.worker")


class Nanny(Member):
    """Keeps a worker in a process of its own running, as part of a running cluster: what dies is restarted.

    It takes the arguments of ``Worker``, but for ``port``, and these:

    Args:
        env: environment variables for the process.
        worker_port: where the worker listens, as ``port`` of a ``Worker``. A nanny itself listens nowhere.
        listen_address: the same together with ``host``, e.g. ``"tcp://127.0.0.1:9000"``.
        preload_nanny: modules, files or source to run in this process first; see ``LocalCluster``'s ``preload``.
            ``dask_setup`` and ``dask_teardown`` are given this object.
        preload_nanny_argv: further arguments for ``dask_setup``.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
        CommError: somebody else's cluster listens there.
        ClusterError: the worker could not be started; says why.
        TimeoutError: it could not join in time.

    Example:
        async with Nanny(cluster.scheduler_address, nthreads=1) as nanny:
            await nanny.finished()
    """

    supervised = True

    def __init__(
        self,
        address: Address | None = None,
        *,
        env: Mapping[str, str] | None = None,
        worker_port: Any = None,
        listen_address: Address | None = None,
        preload_nanny: str | list[str] | None = None,
        preload_nanny_argv: str | list[str] | None = None,
        **worker_kwargs: Any,
    ) -> None:
        if worker_kwargs.get("port") is not None:
            raise TypeError(
                f"port={worker_kwargs['port']!r} has no meaning here: a nanny listens nowhere; give worker_port="
            )
        ports = parse_ports("worker_port", worker_port)
        if listen_address is not None:
            try:
                listening = parse(check_text("listen_address", listen_address))
            except ValueError as error:
                raise ValueError(f"listen_address={listen_address!r} is not understood: {error}") from None
            if not isinstance(listening, TcpAddress):
                raise ValueError(f"listen_address={listen_address!r} is no address like 'tcp://127.0.0.1:9000'")
            for rival in ("worker_port", "host", "interface", "protocol"):
                if ports if rival == "worker_port" else worker_kwargs.get(rival) is not None:
                    raise ValueError(f"listen_address={listen_address!r} and {rival}= are both given; leave one out")
            ports = [listening.port] if listening.port else []
            worker_kwargs["host"] = listening.host
            worker_kwargs["protocol"] = "tls" if listening.encrypted else "tcp"
        super().__init__(address, **{**worker_kwargs, "port": ports or None})
        self._env = check_environment(env)
        self._preloads = Preloads(
            check_preload("preload_nanny", preload_nanny), check_preload("preload_nanny_argv", preload_nanny_argv)
        )
        self._spec: WorkerSpec
        self._supervisor: Supervisor | None = None
        self._nanny_plugins = NannyPlugins(self)
        self._exited = asyncio.Event()
        self._up = asyncio.Event()
        """Set while its worker is part of the cluster."""
        self._grace = GRACE
        self._last_exit = ""
        """How its worker has ended, and what it said last."""

    def __repr__(self) -> str:
        if self.worker_address is None:
            return super().__repr__()
        return f"<Nanny: {self.worker_address}, name: {self.name}, status: {self.status}, threads: {self.nthreads}>"

    @property
    def worker_address(self) -> Address | None:
        """Where the peers of its worker reach that; None while there is none."""
        return (self._lookout.address or None) if self._supervisor is not None and self.is_alive() else None

    @property
    def worker_dir(self) -> str | None:
        """The folder of its worker; None while there is none."""
        return None if self.worker_address is None else self._lookout.local_directory

    @property
    def local_directory(self) -> str:
        """The folder in which its workers have theirs: in the one that it was given, once it has started."""
        return self._shared_directory

    @property
    def plugins(self) -> dict[str, NannyPlugin]:
        """What ``plugin_add`` has added, by name."""
        return self._nanny_plugins.by_name

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that it was told to set for its worker."""
        return dict(self._env)

    def is_alive(self) -> bool:
        """True if its worker's process runs."""
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """Of the worker's process; None while there is none."""
        slot = None if self._supervisor is None else self._supervisor.slots.get(self.name)
        return None if slot is None else slot.pid

    # --- what is done to its worker ---

    async def kill(self, timeout: float | str = 5, reason: str = "nanny-kill") -> None:
        """End the worker's process, if there is one, and wait until the scheduler knows. Another is started at once.

        Args:
            timeout: seconds that it has for ending by itself.
            reason: for the log.
        """
        grace, supervisor, pid = parse_seconds(timeout, "timeout"), self._supervisor, self.pid
        if supervisor is None or pid is None:
            return
        logger.info("The worker of %s is ended: %s", self, check_text("reason", reason))
        await supervisor.restart([self.name], grace)
        await self._lookout.wait_gone(pid)

    async def instantiate(self) -> Status:
        """Wait until the worker is there; it is started if it is not being started already.

        Raises:
            ClusterError: the nanny does not run, or was closed meanwhile.
        """
        supervisor = self._running("instantiate")
        if not self.is_alive():
            await supervisor.restart([self.name])  # one that waits after too many deaths waits no more
        up, ended = asyncio.ensure_future(self._up.wait()), asyncio.ensure_future(self._ended.wait())
        await asyncio.wait([up, ended], return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        ended.cancel()
        self._running("instantiate")
        return Status.RUNNING

    async def restart(self, timeout: float | str = 30, reason: str = "nanny-restart") -> Literal["OK", "timed out"]:
        """End the worker's process, and wait until another has joined. What runs there runs elsewhere, or again.

        Args:
            timeout: seconds to wait; the restart goes on after that.
            reason: for the log.

        Raises:
            ClusterError: the nanny does not run.
        """
        most = parse_seconds(timeout, "timeout")
        self._running("restart")

        async def again() -> None:
            await self.kill(reason=reason)
            await self.instantiate()

        restarting = self._tasks.start(again(), "restart")
        await asyncio.wait([restarting], timeout=most)
        if not restarting.done():
            return "timed out"
        restarting.result()
        return "OK"

    async def plugin_add(self, plugin: NannyPlugin, name: str | None = None) -> dict[str, str]:
        """Set a plugin up, in this process; one of its name is torn down first.

        Args:
            plugin: its ``setup`` is given this nanny; if it has ``restart = True``, the worker is restarted then.
            name: by default that of the plugin.

        Returns:
            ``{"status": "OK"}``

        Raises:
            Exception: what ``setup`` raises.
        """
        await self._nanny_plugins.add(plugin, name)
        if plugin.restart:
            await self.restart(reason="a plugin asks for it")
        return {"status": "OK"}

    async def plugin_remove(self, name: str) -> dict[str, str]:
        """Tear a plugin down.

        Raises:
            KeyError: there is none of this name.
        """
        await self._nanny_plugins.remove(name)
        return {"status": "OK"}

    def _running(self, wanted: str) -> Supervisor:
        if self._supervisor is None or self.status not in (Status.RUNNING, Status.STARTING):
            raise ClusterError(f"{wanted}() needs a nanny that runs; {self!r} does not")
        return self._supervisor

    # --- its life ---

    async def close(self, timeout: float | str = GRACE, *, reason: str = "") -> None:
        """End it, and its worker. Idempotent.

        Args:
            timeout: seconds that the worker has for ending by itself.
            reason: for the log.
        """
        self._grace = parse_seconds(timeout, "timeout")
        await super().close(reason=reason)

    async def _end_worker(self, supervisor: Supervisor) -> None:
        await supervisor.close(self._grace)

    async def _join(self, entry: Entry) -> None:
        config, token = await self._enter(entry)
        if self._plugins:
            config = msgspec.structs.replace(config, plugins=cloudpickle.dumps(self._plugins))
        self._spec = WorkerSpec(msgspec.msgpack.encode(config), token)
        self._stack.push_async_callback(self._preloads.stop, self)
        await self._preloads.start(self)
        self.log = LogBook()
        self._supervisor = supervisor = Supervisor(self._make_starter, self, self.log)
        self._stack.push_async_callback(self._end_worker, supervisor)
        self._stack.push_async_callback(self._tasks.close)
        self._stack.push_async_callback(self._nanny_plugins.close)
        await supervisor.open()
        supervisor.start([self.name])
        await self._first_joined()
        self._is_up(supervisor)
        self._tasks.start(self._live(supervisor), "watch the worker")
        self._tasks.start(self._end_with_cluster(), "wait for the end")

    async def _first_joined(self) -> None:
        """Wait until the first worker has joined. One that ends before would do so again and again."""
        joining = asyncio.ensure_future(self._joined(lambda: self.pid))
        ended = asyncio.ensure_future(self._exited.wait())
        try:
            await asyncio.wait([joining, ended], return_when=asyncio.FIRST_COMPLETED)
            if not joining.done():
                raise ClusterError(f"the worker of {self!r} cannot be started: it {self._last_exit}")
            await joining
        finally:
            joining.cancel()
            ended.cancel()
            await asyncio.wait([joining, ended])

    async def _live(self, supervisor: Supervisor) -> None:
        """From one worker to the next."""
        while True:
            await self._exited.wait()
            self._exited.clear()
            await self._joined(lambda: self.pid, math.inf)
            self._is_up(supervisor)

    def _is_up(self, supervisor: Supervisor) -> None:
        supervisor.joined(self.name)
        if not self._exited.is_set():
            self._up.set()

    async def _end_with_cluster(self) -> None:
        await self._lookout.wait_ended()
        self._close_soon()

    def _goes(self, *, renewing: bool) -> None:
        super()._goes(renewing=renewing)
        if self._supervisor is not None:
            self._supervisor.expect_end(self.name, restart=renewing)

    def _start_afresh(self) -> None:
        assert self._supervisor is not None
        self._tasks.start(self._supervisor.restart([self.name]), "start afresh")

    def _make_starter(self) -> Starter:
        interpreter = Interpreter.current(self._env)
        return Zygote(interpreter) if launching.AVAILABLE else PlainStarter(interpreter)

    # --- the supervisor's port ---

    def worker_spec(self, name: WorkerName) -> WorkerSpec:
        """What to start."""
        return self._spec

    def worker_limit(self, name: WorkerName) -> int | None:
        """What it may use."""
        return self.memory_limit

    def worker_exited(self, name: WorkerName, pid: int, cause: str, running: frozenset[RunId], log: str) -> None:
        """Its process ended: the scheduler blames the task that it ran, and the supervisor starts another."""
        self._lookout.tell_ended(pid, cause, running, log)
        self._last_exit = f"{cause}. It said:\n{log}" if log else cause
        self._lookout.expect()
        self._exited.set()
        self._up.clear()
        if self._is_over and not self._renewing:
            self._close_soon()
        self._is_over = self._renewing = False
