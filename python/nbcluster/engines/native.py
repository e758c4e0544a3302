"""Our own engine, in its three places: this process, a process of its own, or somewhere that is running already."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from nbcluster.cluster.process import Failed, Ready, read_body, write_record
from nbcluster.cluster.runtime import ClusterRuntime
from nbcluster.cluster.spec import ClusterSpec
from nbcluster.comm.credentials import find_token
from nbcluster.commands import AnyAnswer, AnyCommand, Close
from nbcluster.engines.base import Access, Engine, OnView
from nbcluster.engines.control import ControlLink
from nbcluster.engines.registry import EngineSpec
from nbcluster.errors import ClusterClosedError, ClusterError, CommError
from nbcluster.protocol.calls import named_error
from nbcluster.snapshot import ClusterView
from nbcluster.types import Address, Status

CONNECT_TIMEOUT = 30.0
_VIEW_INTERVAL = 1.0


def create(spec: EngineSpec) -> Engine:
    """An engine for whoever asks the registry: a cluster in a process of its own, which opens the keywords."""
    return ProcessEngine(spec)


class InProcessEngine(Engine):
    """Scheduler and supervisor on the running event loop of this process."""

    def __init__(self, spec: ClusterSpec) -> None:
        self._runtime = ClusterRuntime(spec)
        self._last: ClusterView | None = None

    @property
    def address(self) -> Address:
        """Where clients connect."""
        return self._runtime.address

    @property
    def status(self) -> Status:
        """Where it is in its life."""
        return self._runtime.status

    @property
    def view(self) -> ClusterView:
        """A fresh view; after the end, the last one."""
        if self.status in (Status.STARTING, Status.RUNNING) and hasattr(self._runtime, "crew"):
            return self._runtime.view()
        return self._last or _blank(self._runtime.spec, self.status)

    @property
    def access(self) -> Access:
        """The way in from this process."""
        return Access(self._runtime.inproc_address, self._runtime.token)

    async def start(self) -> None:
        """Start everything here."""
        await self._runtime.start()

    async def call(self, command: AnyCommand) -> AnyAnswer:
        """Carry out a command."""
        return await self._runtime.call(command)

    def subscribe(self, on_view: OnView, interval: float = 1.0) -> Callable[[], None]:
        """Have views after changes."""
        return self._runtime.observe(on_view, interval)

    async def close(self, timeout: float = 10.0) -> None:
        """End everything."""
        if self.status == Status.RUNNING:
            self._last = msgspec.structs.replace(self._runtime.view(), status=Status.CLOSED, workers=[])
        await self._runtime.close()


class RemoteEngine(Engine):
    """A cluster that runs elsewhere: one that another process started.

    Args:
        address: where it listens.
        token: its token; by default looked up among this user's clusters.
        on_close: called at the end, whoever ends it.
    """

    def __init__(
        self,
        address: Address,
        token: bytes | None = None,
        on_close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._address = address
        self._token = token
        self._on_close = on_close
        self._status = Status.CREATED
        self._view: ClusterView | None = None
        self._link: ControlLink | None = None
        self._observers: list[OnView] = []

    @property
    def address(self) -> Address:
        """Where clients connect."""
        return self._address

    @property
    def status(self) -> Status:
        """Where it is in its life."""
        if self._link is not None and self._link.closed_because:
            return Status.CLOSED
        return self._status

    @property
    def view(self) -> ClusterView:
        """The latest view that was pushed."""
        view = self._view or ClusterView(id="", name="", status=self.status, address=self._address)
        if self.status == Status.CLOSED:
            return msgspec.structs.replace(view, status=Status.CLOSED, workers=[])
        return view

    @property
    def access(self) -> Access:
        """The way in."""
        assert self._token is not None
        return Access(self._address, self._token)

    async def start(self) -> None:
        """Connect to it."""
        self._status = Status.STARTING
        if self._token is None:
            self._token = find_token(self._address)
        self._link = await ControlLink.open(self._address, self._token, self._viewed, CONNECT_TIMEOUT)
        await self._link.subscribe(_VIEW_INTERVAL)
        self._status = Status.RUNNING

    def _viewed(self, view: ClusterView) -> None:
        self._view = view
        for observer in list(self._observers):
            observer(view)

    async def call(self, command: AnyCommand) -> AnyAnswer:
        """Have it carry out a command."""
        if self._link is None:
            raise ClusterClosedError("the cluster is not connected")
        return await self._link.call(command)

    def subscribe(self, on_view: OnView, interval: float = 1.0) -> Callable[[], None]:
        """Have views as they are pushed: once a second at most."""
        self._observers.append(on_view)
        return lambda: self._observers.remove(on_view) if on_view in self._observers else None

    async def detach(self) -> None:
        """Let go of it; it goes on."""
        link, self._link = self._link, None
        self._status = Status.CLOSED
        if link is not None:
            await link.close()
        if self._on_close is not None:
            await self._on_close()

    async def close(self, timeout: float = 10.0) -> None:
        """End it, wherever it runs."""
        if self._link is not None and not self._link.closed_because:
            with contextlib.suppress(ClusterClosedError, CommError):
                await self._link.call(Close(reason="its owner closed it"))
                await asyncio.wait_for(self._link.wait_ended(), timeout)
        await self.detach()


class ProcessEngine(Engine):
    """Scheduler, supervisor and dashboard in a process of their own, which ends with this one."""

    def __init__(self, spec: ClusterSpec | EngineSpec) -> None:
        self._spec = spec
        self._status = Status.CREATED
        self._process: subprocess.Popen[bytes] | None = None
        self._remote: RemoteEngine | None = None
        self._ready: Ready | None = None
        self._pending: list[tuple[OnView, float]] = []

    @property
    def address(self) -> Address:
        """Where clients connect; ``""`` before the start."""
        return self._ready.address if self._ready is not None else ""

    @property
    def status(self) -> Status:
        """Where it is in its life."""
        if self._status == Status.RUNNING and self._remote is not None:
            return self._remote.status
        return self._status

    @property
    def pid(self) -> int:
        """The process; 0 if there is none."""
        return 0 if self._process is None else self._process.pid

    @property
    def dashboard_socket(self) -> str:
        """The Unix socket of the dashboard; ``""`` before the start."""
        return "" if self._ready is None else self._ready.dashboard_socket

    @property
    def view(self) -> ClusterView:
        """The latest view."""
        if self._remote is None:
            return _blank(self._spec, self._status)
        return msgspec.structs.replace(self._remote.view, status=self.status)

    @property
    def access(self) -> Access:
        """The way in."""
        assert self._ready is not None
        return Access(self._ready.private_address, self._ready.token)

    async def start(self) -> None:
        """Start the process, and wait until its first workers are there."""
        self._status = Status.STARTING
        loop = asyncio.get_running_loop()
        with tempfile.TemporaryFile() as errors:
            try:
                self._ready = await loop.run_in_executor(None, functools.partial(self._launch, errors))
            except BaseException:
                self._status = Status.FAILED
                await loop.run_in_executor(None, self._end, 0.0)
                raise
        self._remote = RemoteEngine(self._ready.private_address, self._ready.token)
        await self._remote.start()
        for on_view, interval in self._pending:
            self._remote.subscribe(on_view, interval)
        self._status = Status.RUNNING

    def _launch(self, errors: Any) -> Ready:
        spec = self._spec
        self._process = process = subprocess.Popen(
            [spec.executable, "-m", "nbcluster.cluster.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=spec.cwd,
            env=spec.environment,
            start_new_session=True,
        )
        assert isinstance(process.stdin, io.BufferedWriter)
        assert isinstance(process.stdout, io.BufferedReader)
        with contextlib.suppress(BrokenPipeError):  # then it has said why on stderr
            write_record(process.stdin, spec)
        body = read_body(process.stdout)
        process.stdout.close()
        if not body:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()[-4000:]
            raise ClusterError(
                f"{spec.executable} -m nbcluster.cluster.process ended with code {process.wait()} before the "
                f"cluster was up; is nbcluster installed there? It said:\n{said or '(nothing)'}"
            )
        answer = msgspec.msgpack.decode(body, type=Ready | Failed)
        if isinstance(answer, Failed):
            raise named_error(answer.kind, f"the cluster could not be started: {answer.message}")
        return answer

    async def call(self, command: AnyCommand) -> AnyAnswer:
        """Have it carry out a command."""
        if self._remote is None:
            raise ClusterClosedError(f"the cluster {self._spec.name!r} is {self._status}")
        return await self._remote.call(command)

    def subscribe(self, on_view: OnView, interval: float = 1.0) -> Callable[[], None]:
        """Have views as they are pushed."""
        if self._remote is not None:
            return self._remote.subscribe(on_view, interval)
        entry = (on_view, interval)
        self._pending.append(entry)
        return lambda: self._pending.remove(entry) if entry in self._pending else None

    async def close(self, timeout: float = 10.0) -> None:
        """End the process and everything below it."""
        if self._status in (Status.CLOSING, Status.CLOSED):
            return
        self._status = Status.CLOSING
        if self._remote is not None:
            await self._remote.close(timeout)
        await asyncio.get_running_loop().run_in_executor(None, self._end, timeout)
        self._status = Status.CLOSED

    def _end(self, timeout: float) -> None:
        """Wait for the process; end it if it takes too long: its zygote clears away what is left."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout)
        process.stdin.close()  # it ends at once when nobody holds the other end of its stdin
        try:
            process.wait(2.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _blank(spec: ClusterSpec | EngineSpec, status: Status) -> ClusterView:
    """What is known before anything runs."""
    requested = spec.n_workers if isinstance(spec, ClusterSpec) else 0
    return ClusterView(id=spec.id, name=spec.name, status=status, requested=requested)
