"""Our own engine where it does not run in this process: in one that this one starts, or somewhere already.

A Jupyter server imports this module: what runs a cluster stays out of it (``in_process`` has that).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from typing import IO

import msgspec

from nbcluster.cluster.handover import Failed, Ready, read_body, write_record
from nbcluster.cluster.spec import ClusterSpec, interpreter_of
from nbcluster.comm.credentials import find_token
from nbcluster.comm.tasks import TaskOwner
from nbcluster.commands import AnyAnswer, AnyCommand, Close, View
from nbcluster.deadlines import within
from nbcluster.engines.base import Access, Engine, OnView
from nbcluster.engines.control import ControlLink
from nbcluster.engines.registry import EngineSpec
from nbcluster.errors import ClusterClosedError, ClusterError, CommError
from nbcluster.protocol.calls import named_error
from nbcluster.snapshot import ClusterView
from nbcluster.supervisor import parent
from nbcluster.supervisor.interpreter import START_DIRECTORY
from nbcluster.types import Address, Status

CONNECT_TIMEOUT = 30.0
_LAST_WORDS = 4000
"""Characters of what a process said that are worth repeating when it ends."""


def create(spec: EngineSpec) -> Engine:
    """An engine for whoever asks the registry: a cluster in a process of its own, which opens the keywords."""
    return ProcessEngine(spec)


class RemoteEngine(Engine):
    """A cluster that runs elsewhere: one that another process started.

    Args:
        address: where it listens.
        token: its token; by default looked up among this user's clusters.
        on_close: called at the end, whoever ends it.
    """

    shared = True
    _view_interval = 1.0

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
        self._message = ""
        self._view = ClusterView(id="", name="", status=Status.CREATED)
        self._link: ControlLink | None = None
        self._observers: list[OnView] = []
        self._tasks = TaskOwner("a cluster's engine")

    @property
    def address(self) -> Address:
        """Where clients connect."""
        return self._address

    @property
    def status(self) -> Status:
        """Where it is in its life."""
        return self._status

    @property
    def view(self) -> ClusterView:
        """The latest view that was pushed; after the end it has no workers."""
        message = self._message or self._view.message
        ended = self._status in (Status.CLOSED, Status.FAILED)
        workers = [] if ended else self._view.workers
        return msgspec.structs.replace(self._view, status=self._status, message=message, workers=workers)

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
        await self._connect(self._address, self._token)

    async def _connect(self, address: Address, token: bytes) -> None:
        self._link = await ControlLink.open(address, token, self._viewed, self._link_ended, CONNECT_TIMEOUT)
        await self._link.subscribe(self._view_interval)
        self._status = Status.RUNNING
        self._tell()

    def _viewed(self, view: ClusterView) -> None:
        self._view = view
        if self._status == Status.RUNNING:
            self._tell()

    def _tell(self) -> None:
        view = self.view
        for observer in list(self._observers):
            observer(view)

    def _link_ended(self, reason: str, lost: bool) -> None:
        """Called once, whoever ended the link: for this side that is news only if it did not do so itself."""
        if self._status not in (Status.STARTING, Status.RUNNING):
            return
        if lost:
            self._status = Status.FAILED
            self._tasks.start(self._report_loss(reason), "report a loss")
        else:
            self._status = Status.CLOSED
            self._tell()

    async def _report_loss(self, reason: str) -> None:
        self._message = await self._explain_loss(reason)
        self._tell()

    async def _explain_loss(self, reason: str) -> str:
        """Why the cluster is gone, for people."""
        return f"the cluster is gone: {reason}"

    async def call(self, command: AnyCommand) -> AnyAnswer:
        """Have it carry out a command."""
        if self._link is None:
            raise ClusterClosedError(f"the cluster is {self._status}")
        answer = await self._link.call(command)
        if isinstance(answer, View):
            self._viewed(answer.cluster)
        return answer

    def subscribe(self, on_view: OnView, interval: float = 1.0) -> Callable[[], None]:
        """Have views as they are pushed: once a second at most."""
        self._observers.append(on_view)
        return lambda: self._observers.remove(on_view) if on_view in self._observers else None

    async def detach(self) -> None:
        """Let go of it; it goes on."""
        self._status = Status.CLOSED
        await self._let_go()

    async def _let_go(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()
        await self._tasks.close()
        if self._on_close is not None:
            await self._on_close()

    async def close(self, timeout: float = 10.0) -> None:
        """End it, wherever it runs."""
        await self._ask_to_close(timeout)
        await self.detach()

    async def _ask_to_close(self, timeout: float) -> None:
        if self._link is not None and not self._link.closed_because:
            with contextlib.suppress(ClusterClosedError, CommError, asyncio.TimeoutError):
                await within(self._ask(self._link), timeout)

    @staticmethod
    async def _ask(link: ControlLink) -> None:
        await link.call(Close(reason="its owner closed it"))
        await link.wait_ended()


class ProcessEngine(RemoteEngine):
    """Scheduler, supervisor and dashboard in a process of their own, which ends with this one."""

    shared = False

    def __init__(self, spec: ClusterSpec | EngineSpec) -> None:
        super().__init__("")
        self._spec = spec
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._ready: Ready | None = None
        self._abandoned = False
        requested = spec.n_workers if isinstance(spec, ClusterSpec) else 0
        self._view = ClusterView(id=spec.id, name=spec.name, status=Status.CREATED, requested=requested)
        if isinstance(spec, ClusterSpec):
            self._view_interval = spec.sync_interval

    @property
    def pid(self) -> int:
        """The process; 0 if there is none."""
        return 0 if self._process is None else self._process.pid

    @property
    def dashboard_socket(self) -> str:
        """The Unix socket of the dashboard; ``""`` before the start."""
        return "" if self._ready is None else self._ready.dashboard_socket

    @property
    def access(self) -> Access:
        """The way in."""
        assert self._ready is not None
        return Access(self._ready.private_address, self._ready.token)

    async def start(self) -> None:
        """Start the process, and wait until its first workers are there."""
        self._status = Status.STARTING
        self._message = "Starting the cluster's process"
        self._tell()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (it is read when the process ends, whenever that is)
        launching = asyncio.get_running_loop().run_in_executor(None, self._launch)
        try:
            self._ready = ready = await asyncio.shield(launching)
            self._message = ""
            self._address = ready.address
            await self._connect(ready.private_address, ready.token)
        except BaseException as error:
            self._status, self._message = Status.FAILED, str(error)
            await self._abandon(launching)
            raise

    def _launch(self) -> Ready:
        spec = self._spec
        interpreter = interpreter_of(spec)
        command = interpreter.command("nbcluster.cluster.process")
        try:
            self._process = process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=START_DIRECTORY,
                env=interpreter.start_environ(),
                start_new_session=True,
            )
        except OSError as error:
            raise ClusterError(f"{spec.executable} cannot be run: {error}") from error
        assert isinstance(process.stdin, io.BufferedWriter)
        assert isinstance(process.stdout, io.BufferedReader)
        if self._abandoned:
            _hang_up(process)
        with contextlib.suppress(BrokenPipeError, ValueError):  # then it has said why on stderr, or is not wanted
            write_record(process.stdin, spec)
        body = read_body(process.stdout)
        process.stdout.close()
        if not body:
            raise ClusterError(
                f"{' '.join(command)} {describe_exit(process.wait())} before the "
                f"cluster was up; is nbcluster installed there? {self._last_words()}"
            )
        answer = msgspec.msgpack.decode(body, type=Ready | Failed)
        if isinstance(answer, Failed):
            raise named_error(answer.kind, f"the cluster could not be started: {answer.message}")
        return answer

    async def _abandon(self, launching: asyncio.Future[Ready]) -> None:
        """End what is being launched. The thread that does so is waited for: it uses what is closed afterwards."""
        self._abandoned = True
        for _ in range(2):
            if self._process is not None:
                _hang_up(self._process)
            await asyncio.wait([launching], timeout=2.0)
            if launching.done():
                launching.exception()  # that is what we are told of anyway, or nobody wants to know
                break
            if self._process is not None:
                self._process.kill()
        await self._end(0.0)

    async def _explain_loss(self, reason: str) -> str:
        assert self._process is not None
        if not await _ended(self._process, 2.0):
            return await super()._explain_loss(reason)
        return f"the cluster's process {describe_exit(self._process.returncode)}. {self._last_words()}"

    def _last_words(self) -> str:
        assert self._errors is not None
        end = self._errors.seek(0, io.SEEK_END)
        self._errors.seek(max(0, end - _LAST_WORDS))
        said = self._errors.read().decode(errors="replace").strip()
        return f"It said:\n{said}" if said else "It said nothing."

    async def detach(self) -> None:
        """End it: nobody else keeps it."""
        await self.close()

    async def close(self, timeout: float = 10.0) -> None:
        """End the process and everything below it."""
        if self._status != Status.CLOSED:
            self._status = Status.CLOSING
            await self._ask_to_close(timeout)
        await self._let_go()
        await self._end(timeout)
        self._status = Status.CLOSED

    async def _end(self, timeout: float) -> None:
        """Wait for the process; end it if it takes too long: its zygote clears away what is left."""
        process = self._process
        if process is not None:
            await _ended(process, timeout)
            _hang_up(process)
            if not await _ended(process, 2.0):
                process.kill()
                process.wait()
        if self._errors is not None:
            self._errors.close()


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    """A cluster's process ends at once when nobody holds the other end of its stdin."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended, and has not read everything
        process.stdin.close()


async def _ended(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Wait for the end of a process, but no longer. Without a thread: when the interpreter ends, none can be had."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    watched = None if process.poll() is not None else parent.watch(process.pid)
    if watched is not None:
        gone = asyncio.Event()
        loop.add_reader(watched, gone.set)
        try:
            with contextlib.suppress(asyncio.TimeoutError):
                await within(gone.wait(), timeout)
        finally:
            loop.remove_reader(watched)
            os.close(watched)
    while process.poll() is None:
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(0.005)
    return True


def describe_exit(code: int) -> str:
    """How a process ended, without a subject: ``"was killed by SIGKILL"``."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
