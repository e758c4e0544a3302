"""How a kernel finds the Jupyter server that started it, and gets the cluster of the cell that it runs.

It runs in kernels: nothing of a Jupyter server is imported here, nor need it be installed.

    find_server()  which connection file is meant for this process
        1. what the caller or the configuration says
        2. NBCLUSTER_CONNECTION_FILE
        3. nbcluster-$JPY_PARENT_PID.json
        4. the same for the parents of this process: behind a wrapper, such as ``conda run``
    attach()       ask that server; it says whether this kernel is one of its own

A file counts only if it is this user's alone and its server lives. And this process attaches only if it is an
IPython kernel whose parent is that server. All else owns its cluster itself: a script, or nbconvert in a
terminal of Jupyter, has inherited the variable, and yet is nobody's kernel. It is never "some" server.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from nbcluster import errors, surroundings
from nbcluster.comm.base import Connection
from nbcluster.comm.transports import connect
from nbcluster.errors import ClusterError, CommClosedError, NbclusterError, NotOurServerError
from nbcluster.jupyter import connection_file
from nbcluster.jupyter.channel_messages import Attach, Attached, Interrupted, Refused, ToKernel
from nbcluster.types import Address, Role

CONNECT_TIMEOUT = 10.0
_KERNEL_FILE = re.compile(r"kernel-(.+)\.json")


@dataclass(frozen=True)
class ServerEndpoint:
    """The control channel of the server that started this kernel."""

    address: Address
    token: bytes = field(repr=False)
    kernel_id: str


@dataclass(frozen=True)
class Workplace:
    """Where the code of a cell runs, and so where its tasks are to run."""

    executable: str
    cwd: str
    sys_path: list[str]
    environment: dict[str, str]

    @classmethod
    def here(cls) -> Workplace:
        """This process's own."""
        # An empty entry means the current directory: here, not wherever a worker will be.
        return cls(sys.executable, os.getcwd(), [path or os.getcwd() for path in sys.path], surroundings.environment())


def find_server(explicit: str | os.PathLike[str] | None = None) -> ServerEndpoint | None:
    """The server that started this kernel; None if this process is no kernel of a server with nbcluster.

    Args:
        explicit: a connection file to use instead of the one that would be found.

    Raises:
        HandshakeError: the server's nbcluster is of another version; says what to upgrade.
    """
    kernel_id = own_kernel_id()
    if kernel_id is None:
        return None
    for path in _candidates(explicit):
        content = connection_file.read(path)
        if content is not None and _is_parent(content.pid):
            return ServerEndpoint(content.address, bytes.fromhex(content.token), kernel_id)
    return None


def own_kernel_id() -> str | None:
    """The id of the IPython kernel that this process is; None if it is none."""
    if _kernel() is None:
        return None
    from ipykernel.connect import get_connection_file

    try:
        path = Path(get_connection_file())
    except (RuntimeError, OSError):
        return None  # embedded in an application: no server started it
    match = _KERNEL_FILE.fullmatch(path.name)
    return match[1] if match else None


def cell_identity() -> str:
    """Names the running cell within its notebook: the same after a restart of the kernel, or of the browser.

    A front end that does not tell cells apart gets the cell's code for a name.
    """
    kernel = _kernel()
    parent: dict[str, Any] = kernel.get_parent("shell") if kernel is not None else {}
    cell = (parent.get("metadata") or {}).get("cellId")
    if isinstance(cell, str) and cell:
        return f"cell-{cell}"
    code = (parent.get("content") or {}).get("code", "")
    return f"code-{hashlib.sha256(code.encode()).hexdigest()[:16]}"


class Attachment:
    """A cell's cluster, as long as the server holds it. Made by :func:`attach`.

    Attributes:
        cluster_id: the server's name for it.
        name: what people call it.
        address: where clients connect.
        dashboard_link: a path on the Jupyter server, as the browser sees it.
        on_interrupt: called, on the event loop, when somebody interrupts this kernel.
    """

    def __init__(self, link: Connection, attached: Attached, on_interrupt: Callable[[], None] | None) -> None:
        self.cluster_id = attached.cluster_id
        self.name = attached.name
        self.address = attached.address
        self.dashboard_link = attached.dashboard_link
        self.on_interrupt = on_interrupt
        self._link = link

    def __repr__(self) -> str:
        return f"<Attachment {self.name!r} {self.address}>"

    async def close(self) -> None:
        """Let go of it; the cluster stays. Idempotent."""
        await self._link.close()


async def attach(
    endpoint: ServerEndpoint,
    *,
    cell: str,
    keywords: bytes,
    digest: bytes,
    name: str | None = None,
    workplace: Workplace | None = None,
    on_interrupt: Callable[[], None] | None = None,
) -> Attachment:
    """Get the cluster of a cell from the server, and wait until it runs.

    Args:
        endpoint: from :func:`find_server`.
        cell: from :func:`cell_identity`.
        keywords: those of ``LocalCluster``, pickled; only the cluster's own process opens them.
        digest: equal for equal keywords.
        name: the ``name`` among them.
        workplace: where tasks are to run; by default where this process does.
        on_interrupt: see :class:`Attachment`.

    Raises:
        NotOurServerError: the server does not know this kernel.
        ClusterError: the cluster could not be started; says why.
        ValueError, TypeError: a keyword is out of range.
        CommError: the server does not answer.
    """
    place = workplace or Workplace.here()
    link = await connect(
        endpoint.address,
        role=Role.CONTROL,
        token=endpoint.token,
        incoming=ToKernel,
        timeout=CONNECT_TIMEOUT,
    )
    receiver = _Receiver()
    link.start(receiver)
    try:
        link.send(
            Attach(
                request=1,
                kernel_id=endpoint.kernel_id,
                pid=os.getpid(),
                cell=cell,
                name=name,
                keywords=keywords,
                digest=digest,
                executable=place.executable,
                cwd=place.cwd,
                sys_path=place.sys_path,
                environment=place.environment,
            )
        )
        answer = await receiver.answer
        if isinstance(answer, Refused):
            raise _exception(answer)
    except BaseException:
        link.abort()
        raise
    receiver.attachment = Attachment(link, answer, on_interrupt)
    return receiver.attachment


class _Receiver:
    """Takes what the server sends on one link."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Attached | Refused] = asyncio.get_running_loop().create_future()
        self.attachment: Attachment | None = None

    def received(self, messages: list[ToKernel]) -> None:
        for message in messages:
            if isinstance(message, Interrupted):
                if self.attachment is not None and self.attachment.on_interrupt is not None:
                    self.attachment.on_interrupt()
            elif not self.answer.done():
                self.answer.set_result(message)

    def lost(self, error: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_exception(error or CommClosedError("the Jupyter server closed its control channel"))


def _exception(refused: Refused) -> Exception:
    """The exception that a refusal names; one that nobody here knows is an error of the cluster."""
    if refused.kind == "LookupError":
        return NotOurServerError(refused.message)
    if refused.kind in ("ValueError", "TypeError"):
        return {"ValueError": ValueError, "TypeError": TypeError}[refused.kind](refused.message)
    kind = getattr(errors, refused.kind, ClusterError)
    return kind(refused.message) if issubclass(kind, NbclusterError) else ClusterError(refused.message)


def _kernel() -> Any:
    """The IPython kernel of this process, if it is one and IPython is there at all."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


def _candidates(explicit: str | os.PathLike[str] | None) -> Iterator[Path]:
    if explicit is not None:
        yield Path(explicit)
        return
    inherited = os.environ.get(connection_file.ENVIRONMENT_VARIABLE)
    if inherited:
        yield Path(inherited)
    for pid in _parents():
        yield connection_file.path_of(pid)


def _is_parent(pid: int) -> bool:
    return pid in _parents()


def _parents() -> list[int]:
    """The process that started this kernel, as the kernel was told; else all processes above this one.

    Above a kernel that nbconvert started in a terminal there is a Jupyter server too, but not as its parent.
    """
    told = os.environ.get("JPY_PARENT_PID", "")
    if sys.platform != "win32" and told.isdecimal():  # there it is not a number of a process
        return [int(told)]
    return [parent.pid for parent in psutil.Process().parents()]
