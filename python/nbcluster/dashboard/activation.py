"""The dashboard costs nothing until somebody looks: the cluster opens the sockets, the first visit starts the process.

    start() ── sockets listen, nobody accepts
                 │ first connection (it waits in the backlog)
                 ▼
               python -m nbcluster.dashboard, with the sockets as inherited descriptors
                 │ ends when nobody has looked for a while
                 └──▶ and so on with the next connection

This module is imported by the cluster, and Bokeh only by the process that it starts.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbcluster
from nbcluster.dashboard.addresses import BACKLOG, DashboardAddress, Endpoint, open_socket, parse
from nbcluster.dashboard.settings import IDLE_TIMEOUT, DashboardSettings, encode
from nbcluster.deadlines import within
from nbcluster.types import Address

logger = logging.getLogger("nbcluster.dashboard")

SOCKET_NAME = "dashboard.sock"
COMMAND = (sys.executable, "-m", "nbcluster.dashboard")
ENDING = 3.0
"""Seconds that the process has for ending by itself."""
PAUSE = 1.0
"""Seconds between a failed start and the next one."""
PATIENCE = 1.0
"""Seconds for a visitor who is turned away to ask and to take the answer."""
LAST_WORDS = 4096
"""Bytes of what it said that are kept for the case that it crashes."""

_UNAVAILABLE = b"The dashboard could not be started. The cluster's log says why; the cluster itself is well.\n"
_SORRY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_UNAVAILABLE), _UNAVAILABLE)
)


class DashboardActivator:
    """Listens for visitors of one cluster's dashboard, and runs its process while there are any.

    Args:
        addresses: ``dashboard_address`` as people give it: ``":8787"``, a port, a list, or None for no port at all.
        cluster_directory: a directory that only its owner may enter; the socket for the Jupyter server goes there.
        cluster_address: where the dashboard process finds the cluster.
        token: the cluster's.
        more_addresses: where else to listen; the link does not lead there.
        prefix: what the paths on the ports begin with, e.g. ``"/foo"``.
        idle_timeout: seconds without an open page after which the process ends.
        command: what to run instead of ``python -m nbcluster.dashboard``.

    Example:
        activator = DashboardActivator(":8787", directory, cluster_address=address, token=token)
        await activator.start()
        print(activator.link)  # http://127.0.0.1:8787/status
        await activator.close()
    """

    def __init__(
        self,
        addresses: DashboardAddress,
        cluster_directory: Path,
        *,
        cluster_address: Address,
        token: bytes,
        prefix: str = "",
        more_addresses: DashboardAddress = None,
        idle_timeout: float = IDLE_TIMEOUT,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.link = ""
        """The first page's address for a browser on this machine; ``""`` if there is no port."""
        self.more_links: list[str] = []
        """The first pages at ``more_addresses``."""
        self.socket_path = cluster_directory / SOCKET_NAME
        """Where the Jupyter server's proxy connects."""
        self._wanted = parse(addresses)
        self._wanted_too = parse(more_addresses)
        self._directory = cluster_directory
        self._cluster_address = cluster_address
        self._token = token
        self._prefix = f"/{prefix.strip('/')}" if prefix.strip("/") else ""
        self._idle_timeout = idle_timeout
        self._command = tuple(command)
        self._ports: list[socket.socket] = []
        self._unix: socket.socket | None = None
        self._hosts: list[str] = []
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen. Returns at once; the process is started by the first visitor.

        Raises:
            ClusterError: it is not possible to listen there.
        """
        try:
            for wanted in self._wanted:
                listening, endpoint = open_socket(wanted)
                self._ports.append(listening)
                link = self._announce(wanted, endpoint)
                self.link = self.link or link
            for wanted in self._wanted_too:
                listening, endpoint = open_socket(wanted)
                self._ports.append(listening)
                self.more_links.append(self._announce(wanted, endpoint))
            if hasattr(socket, "AF_UNIX"):
                self._unix = _open_unix_socket(self.socket_path)
        except BaseException:
            self._close_sockets()
            raise
        for listening in self._sockets:
            listening.setblocking(False)
        self._task = asyncio.get_running_loop().create_task(self._live())

    async def close(self) -> None:
        """End the process and stop listening. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._close_sockets()

    @property
    def _sockets(self) -> list[socket.socket]:
        return self._ports if self._unix is None else [*self._ports, self._unix]

    def _announce(self, wanted: Endpoint, endpoint: Endpoint) -> str:
        link = f"{endpoint.url}{self._prefix}/status"
        taken = "" if wanted.port in (0, endpoint.port) else f" (port {wanted.port} is taken)"
        logger.info("The dashboard is at %s%s", link, taken)
        if not endpoint.loopback:
            self._hosts += [endpoint.host, socket.gethostname()]
            logger.warning("Everybody who can reach %s:%d can see it", endpoint.host, endpoint.port)
        return link

    def _close_sockets(self) -> None:
        for listening in self._sockets:
            listening.close()
        if self._unix is not None:
            self.socket_path.unlink(missing_ok=True)
        self._ports, self._unix = [], None

    # --- the process, again and again ---

    async def _live(self) -> None:
        while True:
            await self._visit()
            try:
                code, words = await self._run()
            except OSError as error:  # there is no such program, or there are no descriptors or processes left
                code, words = 1, str(error)
            if code:
                logger.error("The dashboard ended with exit code %d. Its last words:\n%s", code, words)
                await self._turn_away()
                await asyncio.sleep(PAUSE)

    async def _visit(self) -> None:
        """Wait until somebody connects, and leave the connection in the backlog for the process."""
        loop = asyncio.get_running_loop()
        visited = asyncio.Event()
        listening = self._sockets
        for one in listening:
            loop.add_reader(one.fileno(), visited.set)
        try:
            await visited.wait()
        finally:
            for one in listening:
                loop.remove_reader(one.fileno())

    async def _run(self) -> tuple[int, str]:
        """Run the process until it ends. Returns its exit code and what it said last."""
        process = subprocess.Popen(  # noqa: ASYNC220 (asyncio's own would want to hear of all children's ends)
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[listening.fileno() for listening in self._sockets],
            cwd=self._directory,  # ours alone: a file beside a notebook must not stand in for a module
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for the user's program
        )
        try:
            words = await self._attend(process)
            code = await _ended(process)
        finally:
            # Also when this task is cancelled: the end of its standard input ends the process.
            assert process.stdin is not None
            try:
                process.stdin.close()
            except BrokenPipeError:
                pass  # what was left to write has no reader any more
            if process.poll() is None:
                await _end(process)
        return code, words

    async def _attend(self, process: subprocess.Popen[bytes]) -> str:
        """Tell the process what it needs to know, then take down what it says until it ends."""
        assert process.stdin is not None
        assert process.stderr is not None
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), process.stderr
        )
        said = b""
        try:
            try:
                process.stdin.write(encode(self._settings()))
                process.stdin.flush()
            except BrokenPipeError:
                logger.debug("The dashboard ended before it knew what to show")
            while chunk := await reader.read(65536):
                logger.info("The dashboard says: %s", chunk.decode(errors="replace").rstrip())
                said = (said + chunk)[-LAST_WORDS:]
        finally:
            transport.close()
        return said.decode(errors="replace").strip()

    def _settings(self) -> DashboardSettings:
        return DashboardSettings(
            cluster_address=self._cluster_address,
            token=self._token,
            tcp_sockets=[listening.fileno() for listening in self._ports],
            unix_socket=None if self._unix is None else self._unix.fileno(),
            prefix=self._prefix,
            hosts=self._hosts,
            idle_timeout=self._idle_timeout,
        )

    async def _turn_away(self) -> None:
        """Answer those whom the process left waiting."""
        for listening in self._sockets:
            while True:
                try:
                    visitor, _ = listening.accept()
                except OSError:  # nobody else waits, or this one has gone
                    break
                with visitor:
                    await _say_sorry(visitor)


async def _say_sorry(visitor: socket.socket) -> None:
    visitor.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        # Closing a socket with something unread would cut the answer off.
        await within(loop.sock_recv(visitor, 65536), PATIENCE)
        await within(loop.sock_sendall(visitor, _SORRY), PATIENCE)
    except (OSError, asyncio.TimeoutError) as error:
        logger.debug("A visitor of the dashboard left early: %s", error)


def _open_unix_socket(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # of a former life in the same directory, which is ours alone
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _environment() -> dict[str, str]:
    """This process's environment, so that the same packages are found from another directory."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BOKEH_")}
    paths = [os.path.abspath(path) for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    home = str(Path(nbcluster.__path__[0]).parent)
    if home not in paths and Path(home).name not in ("site-packages", "dist-packages"):
        paths.append(home)
    if paths:
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment


async def _ended(process: subprocess.Popen[bytes]) -> int:
    """Its exit code, once it has one: its last word and its end are a moment apart."""
    return await asyncio.get_running_loop().run_in_executor(None, process.wait)


async def _end(process: subprocess.Popen[bytes]) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(None, process.wait, ENDING)
    except subprocess.TimeoutExpired:
        process.kill()
        await loop.run_in_executor(None, process.wait)
