"""A server of descriptors with an office behind it that answers anything, and links to it."""

from __future__ import annotations

import array
import asyncio
import os
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nbcluster.comm.descriptor_server import DescriptorServer
from nbcluster.comm.descriptors import DescriptorLink
from nbcluster.protocol.handshake import ConnectorHandshake
from nbcluster.protocol.sharing import (
    DepotReply,
    DepotRequest,
    Open,
    Opened,
    Publish,
    Published,
    Release,
    Tidy,
    Unused,
)
from nbcluster.types import Role
from tests.support.eventually import soon
from tests.support.links import TOKEN, run
from tests.support.open_files import open_files


class Office:
    """Answers, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[DepotRequest] = []
        self.there = 0
        self.left = 0
        self.lingering = False
        self.answer_with: Callable[[DepotRequest], tuple[DepotReply | None, int | None]] | None = None

    def join(self) -> int:
        self.there += 1
        return self.there

    def leave(self, session: int) -> None:
        self.left += 1

    def lingers(self, session: int) -> bool:
        return self.lingering

    def answer(self, session: int, request: DepotRequest, fd: int | None) -> tuple[DepotReply | None, int | None]:
        self.asked.append(request)
        if self.answer_with is not None:
            if fd is not None:
                os.close(fd)
            return self.answer_with(request)
        if isinstance(request, Release):
            return None, None
        if isinstance(request, Publish):
            assert fd is not None
            size = os.fstat(fd).st_size
            os.close(fd)
            return Published(size, 0), None
        if isinstance(request, Open):
            return Opened(0, request.blob), os.memfd_create("answer")
        return Unused([]), None


class Place:
    """A server, and ways to it."""

    def __init__(self, path: Path, office: Office, **options: Any) -> None:
        self.path = path
        self.office = office
        self.server = DescriptorServer(
            path, TOKEN, join=office.join, answer=office.answer, leave=office.leave, lingers=office.lingers, **options
        )
        self.links: list[DescriptorLink] = []

    def link(self, token: bytes = TOKEN) -> DescriptorLink:
        self.links.append(DescriptorLink(self.path, token))
        return self.links[-1]

    async def call(self, link: DescriptorLink, request: DepotRequest, fd: int | None = None) -> Any:
        return await asyncio.to_thread(link.call, request, fd)

    @asynccontextmanager
    async def stranger(self) -> AsyncIterator[socket.socket]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.setblocking(False)
            sock.connect(str(self.path))
            yield sock

    async def authenticated(self, sock: socket.socket) -> None:
        loop, connector = asyncio.get_running_loop(), ConnectorHandshake(Role.STORE, TOKEN)
        await loop.sock_sendall(sock, connector.begin())
        while connector.wanted:
            await loop.sock_sendall(sock, connector.feed(await loop.sock_recv(sock, 1000)))


async def held_up(place: Place, link: DescriptorLink) -> tuple[asyncio.Future[Any], threading.Event]:
    """A thread is about to ask something, and does so once the event is set. Returns its answer to be, and that."""
    asked, go_on = threading.Event(), threading.Event()
    exchange = link._exchange

    def slow(*args: Any) -> Any:
        asked.set()
        go_on.wait()
        return exchange(*args)

    link._exchange = slow  # type: ignore[assignment, method-assign]
    asking = asyncio.ensure_future(place.call(link, Tidy()))
    await asyncio.to_thread(asked.wait)
    return asking, go_on


def placed(test: Callable[[Place], Awaitable[None]], loop: str = "uvloop", **options: Any) -> None:
    async def main() -> None:
        await asyncio.to_thread(int)  # the threads of the loop, and what they open
        with tempfile.TemporaryDirectory(prefix="nb-") as directory:
            before = open_files()
            place = Place(Path(directory) / "store", Office(), **options)
            try:
                await test(place)
            finally:
                for link in place.links:
                    link.close()
                place.server.close()
                place.server.close()
            await soon(lambda: open_files() == before, "all descriptors are closed")
            assert not place.path.exists()

    run(loop, main())


async def hung_up(sock: socket.socket) -> bytes:
    """All that the server still says."""
    said = b""
    while True:
        try:
            piece = await asyncio.get_running_loop().sock_recv(sock, 1000)
        except ConnectionError:
            return said
        if not piece:
            return said
        said += piece


def send_with_fd(sock: socket.socket, packet: bytes, count: int = 1) -> None:
    fds = [os.memfd_create("test") for _ in range(count)]
    sock.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
    for fd in fds:
        os.close(fd)
