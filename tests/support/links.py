"""Links for tests: a receiver that records, a deadline for every wait, and a wire of each kind on each event loop."""

from __future__ import annotations

import asyncio
import functools
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from nbcluster.comm.admission import DEFAULT_POLICY, HandshakePolicy
from nbcluster.comm.base import Connection, Listener, OnConnection
from nbcluster.comm.transports import connect, listen
from nbcluster.protocol.framing import DEFAULT_LIMITS, Encoder, Limits
from nbcluster.protocol.handshake import ConnectorHandshake
from nbcluster.protocol.messages import ClientMessage, PutData, ToClient
from nbcluster.protocol.records import Message
from nbcluster.types import Role
from tests.support.eventually import soon
from tests.support.tls import Contexts, make_contexts

T = TypeVar("T")

TOKEN = bytes(range(100, 132))
DEADLINE = 20.0
"""Seconds after which a test that waits has failed."""

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
STREAMS = ("tcp", "tls", "unix")
TRANSPORTS = ("inproc", *STREAMS)


@pytest.fixture(params=list(LOOPS))
def loop_kind(request: pytest.FixtureRequest) -> str:
    """By a ``conftest.py``: a test that asks for it is run on each event loop."""
    return str(request.param)


@pytest.fixture(params=["tcp", "unix"])
def transport(request: pytest.FixtureRequest) -> str:
    """The same, over each kind of stream that is not encrypted."""
    return str(request.param)


def run(loop_kind: str, main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a new loop, within the deadline. What a callback raises fails the test."""
    loop = LOOPS[loop_kind]()
    escaped: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: escaped.append(context))
    try:
        result = loop.run_until_complete(asyncio.wait_for(main, DEADLINE))
        for _ in range(5):  # what was aborted takes a few turns to close
            loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()
    assert not escaped, escaped
    return result


def errors_of_loop() -> list[dict[str, Any]]:
    """From here on, what callbacks of the running loop raise goes to the list that this returns."""
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    return errors


class Recorder:
    """Remembers what a link delivers."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.ends: list[Exception | None] = []
        self._changed = asyncio.Event()

    @property
    def messages(self) -> list[Any]:
        return [message for batch in self.batches for message in batch]

    def received(self, messages: list[Any]) -> None:
        assert messages, "an empty batch"
        assert not self.ends, "a message after the end"
        self.batches.append(messages)
        self._changed.set()

    def lost(self, error: Exception | None) -> None:
        self.ends.append(error)
        self._changed.set()

    async def count(self, count: int) -> list[Any]:
        """Wait until so many messages are there."""
        while len(self.messages) < count:
            assert not self.ends, f"lost with {len(self.messages)} of {count} messages: {self.ends}"
            self._changed.clear()
            await self._changed.wait()
        return self.messages

    async def end(self) -> Exception | None:
        """Wait until the link is lost, and a little longer: it must not be lost twice."""
        while not self.ends:
            self._changed.clear()
            await self._changed.wait()
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(self.ends) == 1, self.ends
        return self.ends[0]


@functools.cache
def tls_contexts() -> Contexts:
    """The same credentials for all tests."""
    with tempfile.TemporaryDirectory() as directory:
        return make_contexts(Path(directory))


class Wire:
    """A listener of one kind, what it accepted, and ways to connect to it."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        self.directory = directory
        self.listener: Listener
        self.accepted: list[Connection] = []
        self.all_links: list[Connection] = []
        self._arrived = asyncio.Event()

    @property
    def is_stream(self) -> bool:
        return self.kind != "inproc"

    def address(self, name: str = "wire") -> str:
        """An address of this kind for a listener to take."""
        if self.kind == "unix":
            return f"unix://{self.directory}/{name}.sock"
        return "inproc://" if self.kind == "inproc" else f"{self.kind}://127.0.0.1:0"

    async def listen(
        self,
        on_connection: OnConnection | None = None,
        *,
        limits: Limits = DEFAULT_LIMITS,
        policy: HandshakePolicy = DEFAULT_POLICY,
        address: str | None = None,
    ) -> Listener:
        return await listen(
            address or self.address(),
            token=TOKEN,
            incoming={Role.CLIENT: ClientMessage | PutData, Role.WORKER: PutData},
            on_connection=on_connection or self._accept,
            ssl=tls_contexts().listener if self.kind == "tls" else None,
            limits=limits,
            policy=policy,
        )

    async def connect(
        self,
        address: str | None = None,
        *,
        role: Role = Role.CLIENT,
        token: bytes = TOKEN,
        timeout: float = DEADLINE,
        limits: Limits = DEFAULT_LIMITS,
    ) -> Connection:
        link = await connect(
            address or self.listener.address,
            role=role,
            token=token,
            incoming=ToClient | PutData,
            timeout=timeout,
            ssl=tls_contexts().connector if self.kind == "tls" else None,
            limits=limits,
        )
        self.all_links.append(link)
        return link

    def _accept(self, link: Connection) -> None:
        self.accepted.append(link)
        self.all_links.append(link)
        self._arrived.set()

    async def arrival(self) -> Connection:
        """Wait for the next link that arrives and return it, not started."""
        while not self.accepted:
            self._arrived.clear()
            await self._arrived.wait()
        return self.accepted.pop(0)

    async def pair(self) -> tuple[Connection, Connection]:
        """A new link's connecting and listening end, not started."""
        link = await self.connect()
        return link, await self.arrival()

    async def started(self) -> tuple[Connection, Recorder, Connection, Recorder]:
        """A new link's two ends, each with what it receives."""
        near, far = await self.pair()
        near_recorder, far_recorder = Recorder(), Recorder()
        near.start(near_recorder)
        far.start(far_recorder)
        return near, near_recorder, far, far_recorder


class Stranger:
    """A bare connection to a listener."""

    def __init__(self, address: str) -> None:
        if address.startswith("unix://"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.target: str | tuple[str, int] = address.removeprefix("unix://")
        else:
            self.socket = socket.socket()
            host, port = address.removeprefix("tcp://").split(":")
            self.target = (host, int(port))
        self.socket.setblocking(False)

    async def __aenter__(self) -> Stranger:
        await asyncio.get_running_loop().sock_connect(self.socket, self.target)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.socket.close()

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def receive(self, count: int) -> bytes:
        """That many bytes, or fewer if the listener hangs up."""
        data = b""
        while len(data) < count:
            try:
                piece = await asyncio.get_running_loop().sock_recv(self.socket, count - len(data))
            except ConnectionError:
                break
            if not piece:
                break
            data += piece
        return data

    async def authenticate(self, role: Role = Role.CLIENT, token: bytes = TOKEN) -> None:
        """The handshake of an honest peer; what comes after it may be anything."""
        connector = ConnectorHandshake(role, token)
        await self.send(connector.begin())
        while connector.wanted:
            await self.send(connector.feed(await self.receive(connector.wanted)))


class RecordingProxy:
    """Stands between a connector and a listener on TCP, passes everything on and remembers it."""

    def __init__(self, target: str) -> None:
        host, port = target.removeprefix("tcp://").split(":")
        self._target = (host, int(port))
        self.said = {"connector": b"", "listener": b""}
        self.turns: list[str] = []
        """Who spoke, one after the other."""

    async def __aenter__(self) -> RecordingProxy:
        self._tasks: list[asyncio.Task[None]] = []
        self._server = await asyncio.start_server(self._visit, "127.0.0.1", 0)
        self.address = f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        await soon(lambda: all(task.done() for task in self._tasks))

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        for name, source, sink in (("connector", reader, far_writer), ("listener", far_reader, writer)):
            self._tasks.append(asyncio.ensure_future(self._pass_on(name, source, sink)))

    async def _pass_on(self, name: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            self.said[name] += data
            if self.turns[-1:] != [name]:
                self.turns.append(name)
            sink.write(data)
        sink.close()


def frames(*messages: Message) -> bytes:
    """Messages as they travel, in one frame."""
    encoder = Encoder()
    encoder.add(messages)
    return b"".join(encoder.take())


@asynccontextmanager
async def wire(kind: str, **options: Any) -> AsyncIterator[Wire]:
    """A listening wire."""
    with tempfile.TemporaryDirectory(prefix="nb-") as directory:
        made = Wire(kind, Path(directory))
        made.listener = await made.listen(**options)
        try:
            yield made
        finally:
            await made.listener.close()
            for link in made.all_links:
                link.abort()
                await link.close()


def on_each_wire(test: Callable[[Wire], Awaitable[None]]) -> Callable[[str, str], None]:
    """Make of a coroutine function a test for a transport and a loop (fixtures ``transport`` and ``loop_kind``)."""

    def wrapper(transport: str, loop_kind: str) -> None:
        async def main() -> None:
            async with wire(transport) as made:
                await test(made)

        run(loop_kind, main())

    wrapper.__name__ = test.__name__
    wrapper.__doc__ = test.__doc__
    return wrapper


def keys_of(messages: list[Any]) -> list[str]:
    return [message.keys[0] for message in messages]
