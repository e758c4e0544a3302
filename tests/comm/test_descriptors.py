"""Sockets that carry descriptors: who gets in, what is asked and answered, and what happens when either side goes."""

from __future__ import annotations

import array
import asyncio
import errno
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nbcluster.comm.admission import HandshakePolicy
from nbcluster.comm.descriptor_server import DescriptorServer
from nbcluster.comm.descriptors import MAX_PACKET, RELEASES, DescriptorLink
from nbcluster.errors import CommClosedError, CommError, HandshakeError, ProtocolError
from nbcluster.protocol.handshake import ConnectorHandshake
from nbcluster.protocol.sharing import (
    DepotReply,
    DepotRequest,
    Gone,
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


# --- questions and answers ---


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_descriptors_go_both_ways(loop: str) -> None:
    async def test(place: Place) -> None:
        link = place.link()
        fd = os.memfd_create("question")
        os.ftruncate(fd, 1234)
        assert await place.call(link, Publish(5), fd) == (Published(1234, 0), None)
        reply, received = await place.call(link, Open(77))
        assert reply == Opened(0, 77)
        assert "answer" in os.readlink(f"/proc/self/fd/{received}")
        assert not os.get_inheritable(received)
        os.close(received)
        assert await place.call(link, Tidy()) == (Unused([]), None)
        assert place.office.there == link.connections == 1

    placed(test, loop)


def test_many_threads_get_each_its_own_answer() -> None:
    async def test(place: Place) -> None:
        link = place.link()

        def ask(number: int) -> bool:
            reply, fd = link.call(Open(number))
            assert fd is not None
            os.close(fd)
            return reply == Opened(0, number)

        assert all(await asyncio.gather(*(asyncio.to_thread(ask, number) for number in range(100))))

    placed(test)


def test_what_is_let_go_of_is_told_in_order_and_without_waiting() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        link.release(1, False)  # before there was a connection, there was nothing to let go of
        await place.call(link, Tidy())
        many = 200 * RELEASES

        def let_go() -> None:
            for number in range(many):
                link.release(number, number % 2 == 0)

        let_go()  # on the server's own loop: nobody reads meanwhile, and the socket is full long before
        await place.call(link, Tidy())
        told = [request for request in place.office.asked if isinstance(request, Release)]
        assert [blob for message in told for blob in message.blobs] == list(range(many))
        assert [blob for message in told for blob in message.untold] == list(range(0, many, 2))
        assert isinstance(place.office.asked[-1], Tidy), "what was let go of before a question is told before it"

    placed(test)


def test_what_dies_while_another_thread_asks_is_told_after_its_answer() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        await place.call(link, Tidy())
        asking, go_on = await held_up(place, link)
        link.release(5, False)
        assert not any(isinstance(request, Release) for request in place.office.asked)
        go_on.set()
        await asking
        await soon(lambda: Release([5]) in place.office.asked)

    placed(test)


def test_what_dies_in_the_midst_of_a_question_is_told_after_its_answer() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        await place.call(link, Tidy())
        real = link._exchange

        def collecting(*args: Any) -> Any:
            link.release(6, True)
            with pytest.raises(CommError, match="in the midst"):
                link.call(Tidy())
            return real(*args)

        link._exchange = collecting  # type: ignore[assignment, method-assign]
        assert await place.call(link, Tidy()) == (Unused([]), None)
        await soon(lambda: Release([6], [6]) in place.office.asked)

    placed(test)


# --- who gets in ---


def test_a_wrong_token_is_refused() -> None:
    async def test(place: Place) -> None:
        with pytest.raises(HandshakeError):
            await place.call(place.link(b"x" * 32), Tidy())
        assert (place.office.there, place.office.asked) == (0, [])

    placed(test, policy=HandshakePolicy(penalty=0.0))


@pytest.mark.parametrize("role", [Role.CLIENT, Role.WORKER, Role.PEER, Role.CONTROL])
def test_other_roles_have_no_business_here(role: Role) -> None:
    async def test(place: Place) -> None:
        async with place.stranger() as sock:
            connector = ConnectorHandshake(role, TOKEN)
            await asyncio.get_running_loop().sock_sendall(sock, connector.begin())
            with pytest.raises(HandshakeError, match="does not talk"):
                connector.feed(await hung_up(sock))
        assert place.office.there == 0

    placed(test, policy=HandshakePolicy(penalty=0.0))


@pytest.mark.parametrize(
    "greeting", [b"GET / HTTP/1.1\r\n\r\n", b"x", bytes(43), bytes(60_000), b"nbclustr" + bytes(35)]
)
def test_who_is_not_nbcluster_is_dropped(greeting: bytes) -> None:
    async def test(place: Place) -> None:
        async with place.stranger() as sock:
            await asyncio.get_running_loop().sock_sendall(sock, greeting)
            await hung_up(sock)
        assert place.office.there == 0
        assert await place.call(place.link(), Tidy()) == (Unused([]), None)

    placed(test, policy=HandshakePolicy(penalty=0.0))


def test_who_is_silent_is_dropped_at_the_deadline() -> None:
    async def test(place: Place) -> None:
        async with place.stranger() as sock:
            assert await hung_up(sock) == b""

    placed(test, policy=HandshakePolicy(deadline=0.0))


def test_a_flood_of_silent_strangers_pushes_out_itself() -> None:
    async def test(place: Place) -> None:
        async with place.stranger() as first, place.stranger(), place.stranger():
            assert await hung_up(first) == b""
            assert await place.call(place.link(), Tidy()) == (Unused([]), None)

    placed(test, policy=HandshakePolicy(waiting=2))


def test_a_descriptor_that_comes_before_the_handshake_is_closed() -> None:
    async def test(place: Place) -> None:
        async with place.stranger() as sock:
            before = open_files()
            send_with_fd(sock, b"here is a descriptor")
            await hung_up(sock)
            assert open_files() < before + 1
        assert place.office.asked == []

    placed(test, policy=HandshakePolicy(penalty=0.0))


# --- nonsense after it ---


@pytest.mark.parametrize("with_fd", [False, True])
@pytest.mark.parametrize(
    "packet",
    [
        b"nonsense",
        msgspec.msgpack.encode(["Open", "one"]),
        msgspec.msgpack.encode(Gone()),
        b"\xa2\xff\xff",
        msgspec.msgpack.encode(Tidy()) + bytes(MAX_PACKET),
    ],
)
def test_nonsense_ends_the_connection_and_closes_what_came_with_it(packet: bytes, with_fd: bool) -> None:
    async def test(place: Place) -> None:
        async with place.stranger() as sock:
            await place.authenticated(sock)
            if with_fd:
                send_with_fd(sock, packet)
            else:
                await asyncio.get_running_loop().sock_sendall(sock, packet)
            assert await hung_up(sock) == b""
        assert (place.office.asked, place.office.left) == ([], 1)

    placed(test)


@pytest.mark.parametrize("count", [2, 3, 200])
def test_more_than_one_descriptor_is_nonsense_too(count: int) -> None:
    async def test(place: Place) -> None:
        async with place.stranger() as sock:
            await place.authenticated(sock)
            send_with_fd(sock, msgspec.msgpack.encode(Tidy()), count)
            await hung_up(sock)
        assert place.office.asked == []

    placed(test)


def test_who_asks_what_no_honest_process_asks_is_dropped() -> None:
    async def test(place: Place) -> None:
        def refuse(_: DepotRequest) -> tuple[None, None]:
            raise ValueError("that is not yours")

        place.office.answer_with = refuse
        with pytest.raises(CommClosedError):
            await place.call(place.link(), Tidy())
        assert place.office.left == 1

    placed(test)


def test_an_answer_that_is_nonsense_is_an_error_and_its_descriptor_is_closed(tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        place.office.answer_with = lambda _: (Release([1]), os.memfd_create("answer"))  # type: ignore[assignment, return-value]
        with pytest.raises(ProtocolError, match="nonsense"):
            await place.call(place.link(), Open(1))

    placed(test)


# --- the end ---


def test_the_server_may_go_in_the_midst_of_a_question() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        await place.call(link, Tidy())
        place.office.answer_with = lambda _: (None, None)
        asking = asyncio.ensure_future(place.call(link, Open(1)))
        await soon(lambda: Open(1) in place.office.asked)
        place.server.close()
        with pytest.raises(CommClosedError):
            await asking
        with pytest.raises(CommClosedError):
            await place.call(link, Open(1))
        link.release(1, False)

    placed(test)


def test_after_a_bad_end_the_next_question_makes_a_new_connection() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        real = link._exchange

        def interrupted(sock: socket.socket, *args: Any) -> Any:
            sock.settimeout(0.0)

            class Interrupted:
                def __getattr__(self, name: str) -> Any:
                    if name == "recvmsg":
                        raise KeyboardInterrupt
                    return getattr(sock, name)

            return real(Interrupted(), *args)  # type: ignore[arg-type]

        link._exchange = interrupted  # type: ignore[assignment, method-assign]
        with pytest.raises(KeyboardInterrupt):
            link.call(Open(1))
        link._exchange = real  # type: ignore[method-assign]
        reply, fd = await place.call(link, Open(2))
        os.close(fd)
        assert reply == Opened(0, 2), "not the answer to the interrupted question"
        assert link.connections == 2

    # The first call blocks this thread until the handshake is done, so the server needs a loop of its own.
    served_elsewhere(test)


def served_elsewhere(test: Callable[[Place], Awaitable[None]]) -> None:
    with tempfile.TemporaryDirectory(prefix="nb-") as directory:
        office, loop = Office(), asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()

        async def open_place() -> Place:
            return Place(Path(directory) / "store", office)

        place = asyncio.run_coroutine_threadsafe(open_place(), loop).result()

        async def close_place() -> None:
            for link in place.links:
                link.close()
            place.server.close()

        try:
            asyncio.run(asyncio.wait_for(test(place), 20))
        finally:
            asyncio.run_coroutine_threadsafe(close_place(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


def test_a_closed_link_says_so_and_closes_the_descriptor_that_it_was_given() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        link.close()
        link.close()
        with pytest.raises(CommClosedError, match="closed"):
            link.call(Publish(1), os.memfd_create("question"))

    placed(test)


def test_closing_waits_for_no_question_and_takes_effect_after_it() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        await place.call(link, Tidy())
        asking, go_on = await held_up(place, link)
        link.close()
        go_on.set()
        assert await asking == (Unused([]), None)
        await soon(lambda: place.office.left == 1)

    placed(test)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_is_told_that_the_link_is_its_parents() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        await place.call(link, Tidy())
        link._lock.acquire()  # as if another thread was asking when it forked
        child = os.fork()
        if child == 0:
            try:
                link.release(1, False)
                link.close()
                link.call(Tidy())
            except CommError as error:
                os._exit(0 if "forked" in str(error) else 1)
            finally:
                os._exit(2)
        link._lock.release()
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert await place.call(link, Tidy()) == (Unused([]), None)

    placed(test)


ASKER = """
import sys, os
from pathlib import Path
from nbcluster.comm.descriptors import DescriptorLink
from nbcluster.protocol.sharing import Tidy
link = DescriptorLink(Path(sys.argv[1]), bytes.fromhex(sys.argv[2]))
link.call(Tidy())
link._drop()
print("dropped", flush=True)
sys.stdin.read()
"""


def test_who_lingers_leaves_when_its_process_ends_and_not_with_its_connection() -> None:
    async def test(place: Place) -> None:
        place.office.lingering = True
        process = await asyncio.to_thread(
            subprocess.Popen,
            [sys.executable, "-c", ASKER, str(place.path), TOKEN.hex()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            await asyncio.to_thread(process.stdout.readline)
            await soon(lambda: not place.server._connections)
            assert (place.office.there, place.office.left) == (1, 0)
            process.kill()
            await soon(lambda: place.office.left == 1)

    placed(test)


def test_closing_the_server_ends_the_watch_over_those_who_linger() -> None:
    async def test(place: Place) -> None:
        place.office.lingering = True
        link = place.link()
        await place.call(link, Tidy())
        link.close()
        await soon(lambda: not place.server._connections)
        assert place.office.left == 0

    placed(test)


def test_without_a_descriptor_to_accept_with_the_server_looks_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nbcluster.comm.descriptor_server._PAUSE", 0.0)

    async def test(place: Place) -> None:
        failures = [1, 1, 1]
        real = place.server._socket

        class Full:
            def accept(self) -> Any:
                if failures:
                    failures.pop()
                    raise OSError(errno.EMFILE, "too many open files")
                return real.accept()

            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

        place.server._socket = Full()  # type: ignore[assignment]
        assert await place.call(place.link(), Tidy()) == (Unused([]), None)
        assert not failures

    placed(test)
