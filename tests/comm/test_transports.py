"""What ``connect`` and ``listen`` do before there is a link; ``test_base`` has what links do."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import cast

import pytest

from nbcluster.comm.admission import HandshakePolicy
from nbcluster.comm.transports import connect, listen
from nbcluster.errors import CommError, HandshakeError, ProtocolError
from nbcluster.protocol.framing import Limits
from nbcluster.protocol.handshake import ListenerHandshake
from nbcluster.protocol.messages import ClientMessage, ToClient, WantKeys
from nbcluster.types import Role
from tests.support.links import TOKEN, Recorder, Wire, run, tls_contexts, wire
from tests.support.tls import make_contexts


async def try_to_connect(address: str, context: ssl.SSLContext | None = None, timeout: float = 5.0) -> None:
    await connect(address, role=Role.CLIENT, token=TOKEN, incoming=ToClient, timeout=timeout, ssl=context)


async def try_to_listen(address: str, token: bytes = TOKEN, context: ssl.SSLContext | None = None) -> None:
    await listen(
        address, token=token, incoming={Role.CLIENT: ClientMessage}, on_connection=lambda link: None, ssl=context
    )


class Impostor:
    """Listens on TCP, answers each connection with fixed bytes, and hangs up if told to."""

    def __init__(self, answer: bytes, *, hang_up: bool = False) -> None:
        self.answer = answer
        self.hang_up = hang_up
        self.visitors = 0
        self.address = ""

    async def __aenter__(self) -> Impostor:
        impostor = self

        class Visit(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                impostor.visitors += 1
                stream = cast(asyncio.Transport, transport)
                stream.write(impostor.answer)
                if impostor.hang_up:
                    stream.close()

        self._server = await asyncio.get_running_loop().create_server(Visit, "127.0.0.1", 0)
        self.address = f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("address", ["tcp://nowhere", "http://127.0.0.1:1", "unix://relative"])
def test_a_wrong_address_is_named_at_once(address: str, loop_kind: str) -> None:
    async def main() -> None:
        for attempt in (try_to_connect, try_to_listen):
            with pytest.raises(ValueError, match="is no address"):
                await attempt(address)

    run(loop_kind, main())


def test_a_socket_path_that_is_too_long_is_named_at_once(loop_kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        for attempt in (try_to_connect, try_to_listen):
            with pytest.raises(ValueError, match="longer than"):
                await attempt(f"unix://{tmp_path}/{'x' * 100}")

    run(loop_kind, main())


def test_tls_needs_credentials_and_nothing_else_takes_them_for_encryption(loop_kind: str) -> None:
    async def main() -> None:
        for attempt in (try_to_connect, try_to_listen):
            with pytest.raises(ValueError, match="needs TLS credentials"):
                await attempt("tls://127.0.0.1:0")
        with pytest.raises(ValueError, match="would not be encrypted"):
            await try_to_connect("tcp://127.0.0.1:0", tls_contexts().connector)
        with pytest.raises(ValueError, match="would not be encrypted"):
            await try_to_listen("tcp://127.0.0.1:0", context=tls_contexts().listener)

    run(loop_kind, main())


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "inproc://"])
def test_nobody_listens_without_a_token(address: str, loop_kind: str) -> None:
    async def main() -> None:
        for token in (b"", b"short"):
            with pytest.raises(HandshakeError, match="too short"):
                await try_to_listen(address, token)

    run(loop_kind, main())


def test_what_is_not_nbcluster_is_told_at_once(loop_kind: str) -> None:
    async def main() -> None:
        async with Impostor(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".ljust(100)) as impostor:
            with pytest.raises(HandshakeError, match="is not nbcluster") as caught:
                await try_to_connect(impostor.address)
            assert impostor.address in str(caught.value)
            assert impostor.visitors == 1

    run(loop_kind, main())


def test_who_hangs_up_is_tried_again_until_the_timeout(loop_kind: str) -> None:
    async def main() -> None:
        async with Impostor(b"", hang_up=True) as impostor:
            with pytest.raises(CommError, match=r"nobody answered .* (closed during the handshake|reset by peer)"):
                await try_to_connect(impostor.address, timeout=0.2)
            assert impostor.visitors > 1

    run(loop_kind, main())


def test_who_says_nothing_is_given_up_at_the_timeout(loop_kind: str) -> None:
    async def main() -> None:
        async with Impostor(b"") as impostor:
            with pytest.raises(CommError, match="timed out") as caught:
                await try_to_connect(impostor.address, timeout=0.2)
            assert not isinstance(caught.value, HandshakeError)

    run(loop_kind, main())


def test_another_protocol_version_names_the_package_to_upgrade(loop_kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = ListenerHandshake.feed

    def newer(self: ListenerHandshake, record: bytes) -> bytes:
        reply = honest(self, record)
        return reply[:8] + b"\x63\x00" + reply[10:]

    monkeypatch.setattr(ListenerHandshake, "feed", newer)

    async def main() -> None:
        async with wire("tcp") as made:
            with pytest.raises(HandshakeError, match=r"version 99 .* upgrade the package nbcluster here"):
                await made.connect()

    run(loop_kind, main())


# --- TLS -------------------------------------------------------------------------------------------------------------


def test_a_listener_of_another_authority_is_refused(loop_kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with wire("tls") as made:
            with pytest.raises(HandshakeError, match="TLS failed"):
                await try_to_connect(made.listener.address, make_contexts(tmp_path).connector)
            assert not made.accepted

    run(loop_kind, main())


def test_a_connector_without_a_certificate_is_refused(loop_kind: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    async def main() -> None:
        async with wire("tls") as made:
            with pytest.raises(CommError):
                await try_to_connect(made.listener.address, context, timeout=0.2)
            assert not made.accepted

    run(loop_kind, main())


@pytest.mark.parametrize(("listening", "dialling"), [("tls", "tcp"), ("tcp", "tls")])
def test_there_is_no_way_down_from_tls(listening: str, dialling: str, loop_kind: str) -> None:
    async def main() -> None:
        async with wire(listening) as made:
            address = made.listener.address.replace(listening, dialling)
            context = tls_contexts().connector if dialling == "tls" else None
            with pytest.raises(CommError):
                await try_to_connect(address, context, timeout=0.2)
            assert not made.accepted

    run(loop_kind, main())


def test_a_name_that_the_certificate_does_not_hold_is_refused(loop_kind: str) -> None:
    async def main() -> None:
        async with wire("tls") as made:
            address = made.listener.address.replace("127.0.0.1", "127.0.0.2")
            listener = await made.listen(address=address)
            with pytest.raises(HandshakeError, match="TLS failed"):
                await try_to_connect(listener.address, tls_contexts().connector)
            await listener.close()

    run(loop_kind, main())


def test_a_stranger_is_dropped_before_tls_when_too_many_wait(loop_kind: str) -> None:
    async def main(made: Wire) -> None:
        host, port = made.listener.address.removeprefix("tls://").split(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(8)]
        near = await made.connect()
        assert await asyncio.wait_for(silent[0][0].read(), 5) == b""
        near.abort()
        for _, writer in silent:
            writer.close()

    async def start() -> None:
        async with wire("tls", policy=HandshakePolicy(deadline=60, waiting=4)) as made:
            await main(made)

    run(loop_kind, start())


def test_limits_apply_to_what_is_sent_and_to_what_arrives(loop_kind: str) -> None:
    async def main() -> None:
        async with wire("tcp", limits=Limits(body=1000)) as made:
            near, far = await made.pair()
            near_end, far_end = Recorder(), Recorder()
            near.start(near_end)
            far.start(far_end)
            with pytest.raises(CommError, match="send them in parts"):
                far.send(WantKeys(["x" * 1000]))
            near.send(WantKeys(["x" * 1000]))
            assert isinstance(await far_end.end(), ProtocolError)
            assert await near_end.end() is not None

    run(loop_kind, main())
