"""Who gets in at a server of descriptors, what it makes of nonsense, and when it lets go of whom."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from nbcluster.comm.admission import HandshakePolicy
from nbcluster.comm.descriptors import MAX_PACKET
from nbcluster.errors import CommClosedError, HandshakeError
from nbcluster.protocol.handshake import ConnectorHandshake
from nbcluster.protocol.sharing import (
    DepotRequest,
    Gone,
    Tidy,
    Unused,
)
from nbcluster.types import Role
from tests.support.descriptor_office import Place, hung_up, placed, send_with_fd
from tests.support.eventually import soon
from tests.support.links import TOKEN
from tests.support.open_files import open_files

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
