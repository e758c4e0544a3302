"""The control channel: where kernels ask their Jupyter server for clusters.

A Unix socket (0600, in a directory of mode 0700) where there are such, else a loopback port; both with a
token that is in the connection file, and good for nothing else: no base_url, TLS, OAuth or XSRF in the way.

Who asks must be the kernel that it says it is: a kernel of this server and, on Linux, the process (or a child
of the process) that was started for it. The keywords of a cluster are opaque here; nothing is unpickled.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from logging import Logger
from pathlib import Path
from typing import Protocol

import psutil

from nbcluster.comm.base import Connection, Listener
from nbcluster.comm.credentials import ClusterDirectory, process_start
from nbcluster.comm.tasks import TaskOwner
from nbcluster.comm.transports import listen
from nbcluster.comm.unix import MAX_PATH
from nbcluster.errors import NbclusterError
from nbcluster.jupyter import connection_file
from nbcluster.jupyter.channel_messages import Attach, Attached, FromKernel, Interrupted, Refused
from nbcluster.jupyter.connection_file import ConnectionFile
from nbcluster.jupyter.manager import CellRequest, ClusterManager
from nbcluster.types import Address, Role

_PEER = re.compile(r"unix://pid-(\d+)")


class KernelProcesses(Protocol):
    """What the channel asks about kernels."""

    def pid(self, kernel_id: str) -> int | None:
        """The process that was started for a kernel."""


class ControlChannel:
    """Listens for the kernels of one server.

    Args:
        manager: makes clusters.
        kernels: knows the kernels.
        log: the server's.
    """

    def __init__(self, manager: ClusterManager, kernels: KernelProcesses, log: Logger) -> None:
        self._manager = manager
        self._kernels = kernels
        self._log = log
        self._directory: ClusterDirectory | None = None
        self._listener: Listener | None = None
        self._file: Path | None = None
        self._sessions: set[_Session] = set()
        self.tasks = TaskOwner("the control channel")

    async def open(self) -> None:
        """Listen, and tell kernels where: in the connection file, and its path in the environment."""
        self._directory = await asyncio.to_thread(ClusterDirectory)
        self._listener = await listen(
            self._address(self._directory),
            token=self._directory.token,
            incoming={Role.CONTROL: FromKernel},
            on_connection=self._opened,
        )
        content = ConnectionFile(
            pid=os.getpid(),
            started=process_start(os.getpid()) or 0.0,
            address=self._listener.address,
            token=self._directory.token.hex(),
        )
        self._file = await asyncio.to_thread(connection_file.write, content)
        os.environ[connection_file.ENVIRONMENT_VARIABLE] = str(self._file)

    async def close(self) -> None:
        """Stop listening, and remove what was written. Idempotent."""
        if self._file is not None:
            if os.environ.get(connection_file.ENVIRONMENT_VARIABLE) == str(self._file):
                del os.environ[connection_file.ENVIRONMENT_VARIABLE]
            self._file.unlink(missing_ok=True)
            self._file = None
        if self._listener is not None:
            await self._listener.close()
            self._listener = None
        await self.tasks.close()
        await asyncio.gather(*(session.link.close() for session in self._sessions))
        if self._directory is not None:
            await asyncio.to_thread(self._directory.remove)
            self._directory = None

    def interrupted(self, kernel_id: str) -> None:
        """Tell a kernel that it was interrupted: its client's event loop may hear it before its cell does."""
        for session in self._sessions:
            if session.kernel_id == kernel_id and not session.link.closed:
                session.link.send(Interrupted())

    def _opened(self, link: Connection) -> None:
        session = _Session(self, link)
        self._sessions.add(session)
        link.start(session)

    def ended(self, session: _Session) -> None:
        """A kernel's link is gone."""
        self._sessions.discard(session)

    async def attach(self, message: Attach, link: Connection) -> Attached | Refused:
        """Answer one request. What may go wrong below is told to the kernel; what may not, is logged too."""
        try:
            await self._verify(message, link)
            cluster = await self._manager.attach(
                CellRequest(
                    kernel_id=message.kernel_id,
                    cell=message.cell,
                    name=message.name,
                    digest=message.digest,
                    pickled_keywords=message.keywords,
                    executable=message.executable,
                    cwd=message.cwd,
                    sys_path=message.sys_path,
                    environment=message.environment,
                )
            )
        except (NbclusterError, LookupError, ValueError, TypeError) as error:
            kind = "LookupError" if isinstance(error, LookupError) else type(error).__name__
            return Refused(message.request, kind, str(error))
        except Exception as error:
            self._log.exception("A kernel's request for a cluster failed")
            return Refused(message.request, "ClusterError", f"{type(error).__name__}: {error}")
        view = cluster.view
        address = view.address if view.address.startswith("tcp://") else cluster.engine.access.address
        return Attached(message.request, view.id, view.name, address, view.dashboard_link)

    async def _verify(self, message: Attach, link: Connection) -> None:
        """See that the one who asks is the kernel that it names.

        Raises:
            LookupError: it is not.
        """
        started = self._kernels.pid(message.kernel_id)
        if started is None:
            raise LookupError(f"this server has no kernel {message.kernel_id} on this machine")
        match = _PEER.fullmatch(link.peer_address)
        claimed = int(match[1]) if match and sys.platform == "linux" else message.pid
        if not await asyncio.to_thread(_is_same_or_below, claimed, started):
            raise LookupError(f"process {claimed} is not kernel {message.kernel_id}")

    @staticmethod
    def _address(directory: ClusterDirectory) -> Address:
        path = directory.socket("control")
        if sys.platform == "win32" or len(os.fsencode(path)) > MAX_PATH:
            return "tcp://127.0.0.1:0"
        return f"unix://{path}"


class _Session:
    """One kernel's link."""

    def __init__(self, channel: ControlChannel, link: Connection) -> None:
        self.link = link
        self.kernel_id = ""
        """Whose it is; known when a request was granted."""
        self._channel = channel
        self._requests: set[asyncio.Task[None]] = set()

    def received(self, messages: list[Attach]) -> None:
        for message in messages:
            request = self._channel.tasks.start(self._answer(message), f"attach {message.kernel_id}")
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)

    def lost(self, error: Exception | None) -> None:
        for request in self._requests:
            request.cancel()
        self._channel.ended(self)

    async def _answer(self, message: Attach) -> None:
        answer = await self._channel.attach(message, self.link)
        if isinstance(answer, Attached):
            self.kernel_id = message.kernel_id
        if not self.link.closed:
            self.link.send(answer)


def _is_same_or_below(pid: int, ancestor: int) -> bool:
    if pid == ancestor:
        return True
    try:
        return any(parent.pid == ancestor for parent in psutil.Process(pid).parents())
    except psutil.NoSuchProcess:
        return False
